"""What a linear layer is called, without the number of its block, so that layers of one kind can be compared over blocks and sizes."""


def kind_and_block(name):
    """(kind, block or None) of a module's dotted name: the number of the block, and what stands behind it.

    `gpt_neox.layers.3.attention.dense` is (`attention.dense`, 3); a layer outside of the blocks goes by its last part.
    """
    parts = name.split(".")
    numbers = [k for k, part in enumerate(parts[:-1]) if part.isdecimal()]
    if not numbers:
        return parts[-1], None
    return ".".join(parts[numbers[0] + 1 :]), int(parts[numbers[0]])
