"""A device by itself, in a process of its own: its rows, its configuration, and the messages that reached it.

``python alone.py FOLDER`` reads what :mod:`node.test_node_alone` recorded of a simulated run, lets one node live
through it, and writes what the node has become beside it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from meshtune.config.config_file import validate
from meshtune.data.partition import DeviceData
from meshtune.evaluation.exam import router_of
from meshtune.methods.base import Prompts
from meshtune.methods.experts import ExpertFactory
from meshtune.methods.registry import get_method
from meshtune.model.loading import load
from meshtune.node.announcements import announcement_of, recipes
from meshtune.node.introductions import OF
from meshtune.node.mask_search import search_masks
from meshtune.node.node import Node
from meshtune.node.updates import UpdateRules
from meshtune.runs.observer import Silent
from meshtune.simulator.introducing import nodes_of
from meshtune.tasks.base import Question
from meshtune.training.calibration import prompt_features
from meshtune.training.trainer import train
from meshtune.wire.payload import decode


def live(folder: Path) -> dict[str, Any]:
    """Return what the node has become."""
    facts = json.loads((folder / "facts.json").read_text())
    config = validate(facts["config"], "the recording")
    base = load(config.model, config.adapter.per_layer)
    method = get_method(facts["method"])
    layers = base.adapters.layers
    factory = ExpertFactory(layers, config.adapter, config.seed, base.dtype, str(base.device), paper=config.paper)
    questions = [Question(**{**one, "options": tuple(one["options"])}) for one in facts["questions"]]
    data = DeviceData(facts["device"], facts["group"], questions, config.seed, config.train.max_tokens, base.tokenizer)
    recipe = recipes(config, base.adapters.layers)[data.group]
    share = config.adapter.share
    own = announcement_of(base, config, data, recipe, [method], share)
    counts = [[len(positions) for positions in own.masks]]
    for others in search_masks(base, config, [data], [method], {data.group: recipe}, Silent(), [share], counts):
        own = replace(own, others={**own.others, **others})
    formed = {int(number): one for number, one in facts["formed"].items()}
    (node,) = nodes_of([method.announces(own, factory)], method, factory, dict(formed[0][1]), facts["reliable"])
    heard = [(one["round"], one["sender"], bytes.fromhex(one["data"])) for one in facts["heard"]]
    meet(node, formed[0], [one[1:] for one in heard if one[0] == 0])
    node.begin()
    node.links = tuple(formed[0][0])
    lr, steps = [config.train.peak(kind, method.name) for kind in method.kind.rates], config.train.steps
    for number in range(1, config.train.rounds + 1):
        first = (number - 1) * steps
        job = node.job([data.batch(first + step, config.train.batch) for step in range(steps)], lr, first)
        train(base, [job], config.train)
        node.trained(job)
        node.begin_round(UpdateRules(method, factory, config.exchange, number, config.graph.relay))
        now = [one[1:] for one in heard if one[0] == number]
        if number in formed:
            meet(node, formed[number], [one for one in now if introduces(one[1])])
        node.publish()
        if facts["reliable"]:
            node.exchange()
        for sender, message in now:
            if not introduces(message):
                node.receive(sender, message)
        node.end_round()
        factory.release()
    assert not node.refused
    prompts = data.prompts(6)
    features = prompt_features(base, prompts, config.router, config.eval.micro_tokens)
    return described(node, features, config, factory)


def introduces(message: bytes) -> bool:
    """Return whether a message is part of devices' getting to know each other."""
    found = decode(message)
    return found.kind in ("announce", "router") or found.meta.get("of") == OF


def meet(node: Node, formed: Any, heard: list[tuple[int, bytes]]) -> None:
    """Let the node take its place in clusters, and hear who its neighbours know."""
    links, clusters = formed
    node.member.clusters = dict(clusters)
    node.meet(links)
    node.announcement_news()
    for sender, message in heard:
        node.announcement_requests()
        node.process(sender, message)


def described(node: Node, features: Any, config: Any, factory: ExpertFactory) -> dict[str, Any]:
    """Return a node's adapter, bank and answers to prompts, bit for bit."""
    member, method = node.member, node.method
    kinds = method.routing.names(config.router, config.paper)
    router = router_of(member, kinds[0], config, factory) if kinds else None
    answer = node.answer(Prompts([member.own.group] * len(features.hidden), router, features))
    return {
        "adapter": member.expert.digest,
        "moments": {name: tensor.double().sum().item().hex() for name, tensor in sorted(member.moments.items())},
        "bank": {str(source): [update.version, update.digest] for source, update in sorted(member.held.items())},
        "known": {str(device): known.digest for device, known in sorted(member.known.items())},
        "experts": [None if expert is None else expert.digest for expert in answer.experts],
        "gates": [[gate.hex() for gate in row] for row in answer.gates.tolist()],
    }


if __name__ == "__main__":
    where = Path(sys.argv[1])
    (where / "became.json").write_text(json.dumps(live(where)))
