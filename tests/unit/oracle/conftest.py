"""Tiny GPT-NeoX models of a vocabulary so small that every token can be enumerated."""

import pytest
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

VOCABULARY, LENGTH = 7, 6


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def model():
    """seed -> a random model whose distributions are far from uniform and differ from prefix to prefix."""

    def make(seed, vocab_size=VOCABULARY, positions=LENGTH):
        torch.manual_seed(seed)
        config = GPTNeoXConfig(
            vocab_size=vocab_size,
            hidden_size=8,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=positions,
            initializer_range=0.7,
            tie_word_embeddings=False,
            bos_token_id=0,
            eos_token_id=0,
            use_cache=False,
        )
        return GPTNeoXForCausalLM(config).eval()

    return make
