"""What a device trains and sends under each method, on models that need not be there, and the paper's Table I beside.

    python benchmarks/parameters.py
    python benchmarks/parameters.py --model qwen2.5-7b --rank 16 --density 0.05

Shapes come from configurations alone (meshtune.model.skeleton); nothing is downloaded for the models that the
package knows. Seconds on one core.
"""

from __future__ import annotations

import argparse

from meshtune.adapter.config import AdapterConfig
from meshtune.adapter.sites import sizes
from meshtune.config.federation_config import ExchangeConfig
from meshtune.config.learning_config import ModelConfig
from meshtune.errors import UserError
from meshtune.methods.registry import METHODS
from meshtune.model.skeleton import skeleton
from meshtune.planning.model_sizes import MethodSizes, method_sizes
from meshtune.report.size_tables import paper_table, sizes_table

METHODS_SHOWN = ("bank", "paper", "lora", "ffa", "lori", "fpft")
FORMS = ("bfloat16", "int8", "int4")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["qwen2.5-1.5b", "qwen2.5-7b"], help="as model.name, or known")
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--density", type=float, default=0.1)
    parser.add_argument("--methods", nargs="+", default=list(METHODS_SHOWN), help=", ".join(METHODS))
    args = parser.parse_args()
    adapter = AdapterConfig(rank=args.rank, density=args.density)
    beside: dict[str, tuple[MethodSizes, MethodSizes, int]] = {}
    for name in args.model:
        shape = skeleton(ModelConfig(name=name))
        found = {
            form: [method_sizes(shape, method, adapter, ExchangeConfig(values=form)) for method in args.methods]
            for form in FORMS
        }
        title = f"{name}: {shape.parameters:,} weights, {len(shape.layers)} layers, rank {args.rank}, "
        print(sizes_table(title + f"density {args.density:g}", found).markdown())
        dense, sparse = (method_sizes(shape, m, adapter, ExchangeConfig()) for m in ("lora", "bank"))
        beside[name] = dense, sparse, sum(sizes(shape.layers, args.rank))
    print(paper_table(beside).markdown())


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error)) from None
