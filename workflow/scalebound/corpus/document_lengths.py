"""The documents behind the rows that a checkpoint saw, known from the tokens that close them."""

import numpy as np

from scalebound.corpus.tokenizer import END_OF_DOCUMENT_ID


def document_weights(tokens):
    """(weights float64 [rows, row_tokens - 1], documents) of the first rows of a stream, tokens [rows, row_tokens].

    The weight of a prediction is 1 / (predictions of its document), so that the weights of each whole document sum to 1;
    `documents` is the number of whole ones. The end-of-document token belongs to the document that it closes. A last
    document that goes on beyond the rows weighs nothing.
    """
    ends = tokens.ravel() == END_OF_DOCUMENT_ID
    number = (np.cumsum(ends) - ends).reshape(tokens.shape)[:, 1:]
    documents = int(ends.sum())
    counts = np.bincount(number.ravel(), minlength=documents + 1)
    weights = 1 / np.maximum(counts, 1)
    weights[documents:] = 0
    return weights[number], documents
