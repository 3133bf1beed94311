"""One round of ten devices: ours against Flower's simulation engine with a PEFT client, the same rows for both.

    pip install -r benchmarks/requirements.txt    # in a venv of its own
    python benchmarks/flower_round.py --model $MESHTUNE_MODELS/smollm2

Both sides run in a process of their own, read the same rows from a file and play two rounds. The second is the round
without loading the base; all before it and the first round, from the start of the process on (imports, the base, and
Flower's engine), is the round with loading. Flower averages the LoRA parameters (FedAvg) and trains either one client
at a time with all threads or one a thread; its better time counts. A client keeps its model from round to round.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from record import at_least, options, over, report

ROUNDS = 2
DONE = "seconds: "


def ours(model: str, rows: Path, threads: int) -> list[float]:
    """Play the rounds with meshtune; return when the first began and every one ended, by the wall clock."""
    import torch
    from work import federation, restore

    from meshtune.config.learning_config import ModelConfig
    from meshtune.model.loading import load

    torch.set_num_threads(threads)
    play = federation(load(ModelConfig(name=model, device="cpu")), restore(rows))
    marks = [time.time()]
    for _ in range(ROUNDS):
        play()
        marks.append(time.time())
    return marks


def flower(model: str, rows: Path, threads: int, at_once: int) -> list[float]:
    """As :func:`ours`, with Flower's simulation engine; ``at_once`` clients train side by side."""
    from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid, ServerApp
    from flwr.serverapp.strategy import FedAvg
    from flwr.simulation import run_simulation
    from peft import get_peft_model_state_dict

    marks: list[float] = []
    client, server = ClientApp(), ServerApp()
    here = str(Path(__file__).parent)

    @client.train()
    def train(message: Message, context: Context) -> Message:
        if here not in sys.path:  # a worker of the engine starts without it
            sys.path.insert(0, here)
        from flower_client import train_client  # imports torch, which the next line needs

        device = int(context.node_config["partition-id"])
        given = message.content["arrays"].to_torch_state_dict()
        trained, count, loss = train_client(model, rows, threads // at_once, device, given)
        facts = MetricRecord({"num-examples": count, "loss": loss})
        return Message(RecordDict({"arrays": ArrayRecord(trained), "metrics": facts}), reply_to=message)

    class Timed(FedAvg):
        """FedAvg that notes when a round begins and ends."""

        def configure_train(self, *args: Any, **kwargs: Any) -> Any:
            if not marks:
                marks.append(time.time())
            return super().configure_train(*args, **kwargs)

        def aggregate_train(self, server_round: int, replies: Any) -> Any:
            arrived = list(replies)
            failed = [reply.error for reply in arrived if reply.has_error()]
            if failed:
                raise RuntimeError(f"{len(failed)} of Flower's clients failed: {failed[0]}")
            mixed = super().aggregate_train(server_round, arrived)
            marks.append(time.time())
            return mixed

    @server.main()
    def serve(grid: Grid, context: Context) -> None:
        from peft_loop import wrap
        from work import plain_model

        begun = ArrayRecord(get_peft_model_state_dict(wrap(plain_model(model)[0], 1), adapter_name="0"))
        devices = len(json.loads(rows.read_text(encoding="utf-8")))
        everyone = {"min_train_nodes": devices, "min_available_nodes": devices}
        Timed(fraction_evaluate=0.0, **everyone).start(grid, begun, num_rounds=ROUNDS)

    devices = len(json.loads(rows.read_text(encoding="utf-8")))
    resources = {"num_cpus": threads // at_once, "num_gpus": 0.0}
    engine = {"client_resources": resources, "init_args": {"num_cpus": threads, "include_dashboard": False}}
    run_simulation(server, client, num_supernodes=devices, backend_config=engine)
    return marks


def child(python: str, kind: str, model: str, rows: Path, threads: int, at_once: int) -> tuple[float, float]:
    """Run one side in a process of its own; return the seconds of a round with and without loading."""
    call = [python, __file__, "--model", model, "--threads", str(threads), "--child", kind, "--rows", str(rows)]
    places = [str(Path(__file__).parents[1] / "src"), str(Path(__file__).parent)]
    told = {
        "FLWR_TELEMETRY_ENABLED": "0",
        "RAY_worker_niceness": "0",  # else Ray's workers give way to whatever else runs
        "PYTHONPATH": os.pathsep.join(places),
    }
    began = time.time()
    done = subprocess.run(
        [*call, "--at-once", str(at_once)], capture_output=True, text=True, env={**os.environ, **told}
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(DONE)]
    if done.returncode or not lines:
        raise SystemExit(f"{kind} failed ({' '.join(call)}):\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    marks = json.loads(lines[-1].removeprefix(DONE))
    with_loading, without = marks[1] - began, marks[2] - marks[1]
    print(f"{kind}, {at_once} at once: {with_loading:.1f} s with loading, {without:.1f} s without", flush=True)
    return with_loading, without


def check(python: str) -> None:
    """Raise SystemExit unless ``python`` has what the rival needs."""
    needs = "import flwr, ray, peft, meshtune"
    where = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    done = subprocess.run([python, "-c", needs], capture_output=True, text=True, env=where)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1]
        raise SystemExit(f"{python} lacks what Flower's side needs ({last}): see the top of {__file__}")


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--python", default=os.environ.get("MESHTUNE_RIVALS", sys.executable), help="has flwr and peft")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 2], help="clients side by side that are tried")
    parser.add_argument("--child", choices=("ours", "flower"), help="internal: be this side")
    parser.add_argument("--rows", type=Path, help="internal: the rows' file")
    args = parser.parse_args()
    if args.child:
        one = args.at_once[0]
        marks = (
            ours(args.model, args.rows, args.threads)
            if args.child == "ours"
            else flower(args.model, args.rows, args.threads, one)
        )
        print(DONE + json.dumps(marks), flush=True)
        return
    check(args.python)
    from work import SIZE, TASKS, plain_model, rows_of, save, tokens_in

    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.json"
        batches = rows_of(plain_model(args.model)[1], len(TASKS), args.steps, SIZE)
        save(batches, rows)
        print(f"{tokens_in(batches)} real tokens", flush=True)
        mine, theirs = [], []
        for _ in range(args.runs):
            mine.append(child(sys.executable, "ours", args.model, rows, args.threads, 1))
            tried = [child(args.python, "flower", args.model, rows, args.threads, n) for n in args.at_once]
            theirs.append(tuple(min(times) for times in zip(*tried, strict=True)))
    rows_found = [
        at_least(f"a round, {how} loading the base: ours / Flower with PEFT", over(theirs_now, mine_now), target)
        for how, target, theirs_now, mine_now in zip(
            ("with", "without"), (3, 2), zip(*theirs, strict=True), zip(*mine, strict=True), strict=True
        )
    ]
    report(rows_found, args.json)


if __name__ == "__main__":
    main()
