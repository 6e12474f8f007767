"""Generalization bounds in float64 numpy; nothing here imports torch.

| module | what | source |
|---|---|---|
| complexity | code length and failure probability per token, C | the paper, Theorem 3.2 |
| smoothing | prediction smoothing and its closed-form cost | the paper, Theorems 3.3 and 3.4 |
| freedman | the empirical Freedman bound, direct and as loss variation | the paper, Theorem 3.1 |
| azuma | the Azuma bound | Lotfi, Kuang et al. 2024 |
| document_level | the bound for documents, by Hoeffding | Lotfi, Finzi et al. 2024 |
| decomposition | the paper's bound split into its terms | the paper, Theorem 3.4 |
| evaluation | all of them for one set of scores | |
| geometric | the geometric-mean bound (G) and its tangent, of which (F) is one | theory, sections 3 and 6 |
| ceilings | families of ceilings for (G), and the grids that C pays for | theory, sections 3 and 4 |
| grid_search | the least value over a product of grids | |
| token_scores | scores of a draw of windows, checked | |
| linearization | (G) and (F) as the mean of one bounded value a window | theory, section 6 |
| confidence | upper confidence bounds: betting, empirical Bernstein, Hoeffding | Waudby-Smith and Ramdas 2024; Maurer and Pontil 2009 |
| online | the online bound (D): its halves, grids, and what they pay for | theory, section 13 |
| online_scores | what (D) needs of every token: the columns that scoring delivers | theory, section 13 |
| online_room | both halves of (D) as the mean of one bounded value a window, and its range | theory, section 13 |
| later_part | any bound for the positions from a share of the stream on | theory, section 13 |
| certificate | a bound with the subsampling covered | theory, section 6 |
| recheck, recheck_online | a certificate recomputed by independent code | |
"""
