"""Large numbers as people read them."""


def short_count(number):
    """Three significant digits with k, M or B: 262848 is 263k."""
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return str(number)
