"""Generalization bounds in float64 numpy; nothing here imports torch.

| module | what | source |
|---|---|---|
| complexity | code length and failure probability per token, C | the paper, Theorem 3.2 |
| smoothing | prediction smoothing and its closed-form cost | the paper, Theorems 3.3 and 3.4 |
| freedman | the empirical Freedman bound, direct and as loss variation | the paper, Theorem 3.1 |
| azuma | the Azuma bound | Lotfi, Kuang et al. 2024 |
| decomposition | the paper's bound split into its terms | the paper, Theorem 3.4 |
| evaluation | all of them for one set of scores | |
"""
