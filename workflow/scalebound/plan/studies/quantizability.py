"""What rounding costs against bits per parameter: one row for each checkpoint and quantizer with a nominal number of bits."""

from scalebound.plan.stages.family import TABLE, table
from scalebound.plan.study import Study


def rules(plan):
    coded = plan.quantizers_of("coded")
    methods = {name: plan.config.quantizers[name].method for name in plan.config.quantize_with if name not in coded}
    return [table("quantizability", "quantizability.csv", inputs={"table": TABLE}, settings=lambda w: {"methods": methods})]


STUDY = Study(("quantizability.csv",), {"quantizability": "quantizability.csv"}, rules)
