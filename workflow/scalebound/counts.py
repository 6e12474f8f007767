"""Large numbers as people read them."""


def short_count(number):
    """Three significant digits with k, M or B: 262848 is 263k."""
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return str(number)


def short_time(seconds):
    """Whole seconds in the two largest units: 3723 is 1 h 2 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
