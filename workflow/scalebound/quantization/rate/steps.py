"""Step sizes on a logarithmic scale: exponent k stands for 2^(k/4).

The four constants are written out, and multiplying by a power of two is exact, so that every machine gets the same steps.
"""

import numpy as np

PER_OCTAVE = 4
_QUARTERS = np.array([1.0, 1.1892071150027210667, 1.4142135623730950488, 1.6817928305074290861])
LOWEST, HIGHEST = -400, 400  # steps 2^-100 to 2^100: inside float32


def step_sizes(exponents):
    """float32 2^(k/4) for integer exponents k in [LOWEST, HIGHEST], in their shape."""
    octaves, quarters = np.divmod(np.asarray(exponents, dtype=np.int64), PER_OCTAVE)
    return np.ldexp(_QUARTERS[quarters], octaves.astype(np.int32)).astype(np.float32)


def exponents(sizes):
    """int64 exponents whose step sizes are nearest, on the logarithmic scale, to positive `sizes`."""
    found = np.rint(PER_OCTAVE * np.log2(np.maximum(np.asarray(sizes, dtype=np.float64), 1e-30)))
    return np.clip(found, LOWEST, HIGHEST).astype(np.int64)
