"""lm-evaluation-harness asks a steered model what it asks its own HF model, and gets the same answers.

Covers analysis.evaluations.capability, analysis.evaluations.harness_model, analysis.evaluations.harness_tasks,
analysis.evaluations.questions, analysis.evaluations.extra,
analysis.statistics.benchmarks and posttrain.continuations.
"""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis import results
from analysis.evaluations.base import LazyModel, Subject
from analysis.evaluations.capability import Capability
from analysis.evaluations.options import CapabilitySpec, CapabilityTaskSpec
from analysis.evaluations.questions import read_questions
from analysis.statistics.benchmarks import benchmark_tables
from infra.errors import AmountError, InputError, UnavailableError
from infra.stages.stage import Workspace
from posttrain.methods.iti import Iti, bake
from posttrain.methods.options import PromptArgs, SasaArgs
from posttrain.methods.prompt import Prompt
from posttrain.methods.sasa import Sasa
from posttrain.model import CausalModel, wrap
from posttrain.steered import Continuation, Sampling, Steered, bind
from tests.helpers import ROOT
from tests.helpers.causal_models import BENIGN, sentences

pytest.importorskip("lm_eval", reason="the extra `eval` is not installed")

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from analysis.evaluations.harness_model import SteeredLM
from analysis.evaluations.harness_tasks import answers, build_task

MMLU = ROOT.parent / "shared" / "data" / "mmlu" / "mmlu.jsonl.gz"
PAIRS = [
    ("thank you for the", " book today"),
    ("thank you for the ", "book"),
    ("shut up you\n\n", "fool"),
    ("", "a calm and kind reply"),
    ("a b c", " d"),
    ("we walked to the river " * 30, " at home"),
]  # fmt: skip


def harness(model: CausalModel, **changes: Any) -> HFLM:
    return HFLM(pretrained=model.network, tokenizer=model.tokenizer, device="cpu", batch_size=4, **changes)


def asked(kind: str, *arguments: tuple[Any, ...]) -> list[Instance]:
    return [Instance(kind, {}, these, number, ("t", number, 1)) for number, these in enumerate(arguments)]


def same(ours: list[tuple[float, bool]], theirs: list[tuple[float, bool]]) -> None:
    np.testing.assert_allclose([score for score, _ in ours], [score for score, _ in theirs], atol=1e-5, rtol=1e-6)
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]


def questions(folder: Path, count: int = 12) -> dict[str, Any]:
    rows = [{"question": f"{sentence} number {number}", "choices": [" today", "again at home", "x", "for once"],
             "answer": number % 4, "subject": "anatomy" if number % 2 else "astronomy",
             "split": "dev" if number < 6 else "test"}
            for number, sentence in enumerate(sentences(BENIGN)[:count])]  # fmt: skip
    path = folder / "mmlu.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"task": "mmlu", "items": {"path": str(path), "text": "question",
                                      "keep": ["choices", "answer", "subject", "split"]}}  # fmt: skip


def test_continuations_are_encoded_and_scored_as_the_harness_does(model: CausalModel) -> None:
    pairs = asked("loglikelihood", *PAIRS)
    ours, theirs = SteeredLM(bind(model, None, 0)), harness(model)
    same(ours.loglikelihood(pairs), theirs.loglikelihood(pairs, disable_tqdm=True))


def test_what_greedy_decoding_writes_is_greedy(model: CausalModel) -> None:
    steered = bind(model, None, 0)
    context = [model.start, *model.encode(["thank you for"])[0]]
    ((written,),) = steered.generate(["thank you for"], Sampling(4, temperature=0.0))
    tokens = list(written.tokens)
    requests = [(("", ""), context, tokens), (("", ""), context, [*tokens[:3], tokens[3] - 1])]
    ours = SteeredLM(steered)._loglikelihood_tokens(requests)
    same(ours, harness(model)._loglikelihood_tokens(requests, disable_tqdm=True))
    assert [greedy for _, greedy in ours] == [True, False]


def test_a_tokenizer_that_puts_a_start_token_puts_it(model: CausalModel) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = copy.deepcopy(model.tokenizer)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )
    starting = wrap(model.network, tokenizer, "x" * 64)
    pairs = asked("loglikelihood", *PAIRS, ("<|endoftext|>thank you", " for"))
    ours, theirs = SteeredLM(bind(starting, None, 0)), harness(starting)
    assert ours.tok_encode("a")[0] == 0 and ours.tok_encode("<|endoftext|>a").count(0) == 1
    same(ours.loglikelihood(pairs), theirs.loglikelihood(pairs, disable_tqdm=True))


def test_rolling_likelihoods_equal_the_harness_s_and_cross_entropy_s(model: CausalModel) -> None:
    texts = [*sentences(BENIGN)[:3], " and ".join(sentences(BENIGN)[10:40])]
    requests = asked("loglikelihood_rolling", *((text,) for text in texts))
    steered = bind(model, None, 0)
    ours, theirs = SteeredLM(steered).loglikelihood_rolling(requests), harness(model).loglikelihood_rolling(requests)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    for text, likelihood in zip(texts[:3], theirs, strict=False):  # the harness's texts have no end
        measured = steered.cross_entropy([text], max_tokens_per_document=len(model.encode([text])[0]))
        assert -measured.nats[0] == pytest.approx(likelihood, rel=1e-5)


def test_generations_equal_the_harness_s_behind_the_start_token(model: CausalModel) -> None:
    prompts = ["<|endoftext|>thank you for", "<|endoftext|>you idiot", "<|endoftext|>a"]
    arguments = {"until": ["e", "\n\n"], "max_gen_toks": 12}
    requests = asked("generate_until", *((prompt, dict(arguments)) for prompt in prompts))
    ours = SteeredLM(bind(model, None, 0)).generate_until(requests)
    assert ours == harness(model).generate_until(requests, disable_tqdm=True)
    assert any(ours) and not any("e" in text for text in ours)
    with pytest.raises(UnavailableError, match="samples"):
        SteeredLM(bind(model, None, 0)).generate_until(
            asked("generate_until", ("a", {"do_sample": True, "temperature": 0.7}))
        )


def test_mmlu_equals_the_harness_s_own_model_item_by_item(model: CausalModel, tmp_path: Path) -> None:
    for task in read_questions(CapabilityTaskSpec.model_validate({**questions(tmp_path), "num_fewshot": 2})):
        assert_equal_to_the_harness(model, task)


@pytest.mark.skipif(not MMLU.exists(), reason="needs ../shared/data/mmlu")
def test_the_first_real_mmlu_items_equal_the_harness_s_own_model(model: CausalModel, tmp_path: Path) -> None:
    with gzip.open(MMLU, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    path = tmp_path / "mmlu.jsonl"
    subjects = ("abstract_algebra", "high_school_european_history")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows if row["subject"] in subjects))
    options = {**questions(tmp_path), "items": {**questions(tmp_path)["items"], "path": str(path)}}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows if row["subject"] in subjects))
    tasks = read_questions(CapabilityTaskSpec.model_validate({**options, "num_fewshot": 5, "limit": 20}))
    assert [task.label for task in tasks] == [f"mmlu/{subject}" for subject in subjects]
    for task in tasks:
        assert_equal_to_the_harness(model, task)


def assert_equal_to_the_harness(model: CausalModel, task: Any) -> None:
    from lm_eval.evaluator import evaluate

    ours = answers(task, bind(model, None, 0), seed=1234)
    tasks = {"tasks": {task.label: build_task(task)}, "groups": {}, "group_map": {}}
    theirs = evaluate(harness(model), tasks, limit=task.options.limit, bootstrap_iters=0)["samples"][task.label]
    assert len(ours) > 2
    assert [(answer.item, answer.value) for answer in ours] == [(sample["doc_id"], sample["acc"]) for sample in theirs]


def test_a_steered_model_equals_its_baked_export(iti: Steered, model: CausalModel, tmp_path: Path) -> None:
    method = iti.stack.methods[0]
    baked = wrap(copy.deepcopy(model.network), model.tokenizer, "x" * 64)
    bake(Iti(baked, method.fitted, method.strength))
    pairs = asked("loglikelihood", *PAIRS)
    steered = SteeredLM(iti).loglikelihood(pairs)
    same(steered, harness(baked).loglikelihood(pairs, disable_tqdm=True))
    plain = SteeredLM(bind(model, None, 0)).loglikelihood(pairs)
    assert max(abs(a - b) for (a, _), (b, _) in zip(steered, plain, strict=True)) > 0.1
    (task, _) = read_questions(CapabilityTaskSpec.model_validate(questions(tmp_path)))
    assert [a.value for a in answers(task, iti, 0)] == [a.value for a in answers(task, bind(baked, None, 0), 0)]


@pytest.mark.parametrize("start", [True, False])
def test_a_prefix_stands_behind_the_start_token_if_there_is_one(model: CausalModel, start: bool) -> None:
    steered = bind(model, Prompt.fit(model, None, PromptArgs(text="be kind "), 0), 1.0)
    head = (model.start,) if start else ()
    context, tokens, prefix = (tuple(model.encode([text])[0]) for text in ("thank you", " for", "be kind "))
    (score,) = steered.continuations([Continuation((*head, *context), tokens)])
    (plain,) = bind(model, None, 0).continuations([Continuation((*head, *prefix, *context), tokens)])
    assert score.nats == pytest.approx(plain.nats, abs=1e-5)


def test_candidates_count_as_in_cross_entropy(model: CausalModel, labelled: Any) -> None:
    fitted = Sasa.fit(model, labelled, SasaArgs(max_candidates=387, folds=2), seed=0)
    steered = bind(model, fitted, 50.0)
    texts = sentences(BENIGN)[:4]
    asked_for = [Continuation((model.start,), (*ids, model.end)) for ids in model.encode(texts)]
    scores = steered.continuations(asked_for)
    np.testing.assert_allclose([score.nats for score in scores], steered.cross_entropy(texts).nats, rtol=1e-5)
    assert abs(sum(score.nats for score in scores) - bind(model, None, 0).cross_entropy(texts).nats.sum()) > 0.03


def test_a_continuation_longer_than_the_context_is_refused(model: CausalModel) -> None:
    with pytest.raises(InputError, match="the model reads 96"):
        bind(model, None, 0).continuations([Continuation((0,), (1,) * 97)])


def spec_of(*tasks: dict[str, Any]) -> CapabilitySpec:
    return CapabilitySpec.model_validate({"tasks": tasks})


def evaluation(model_folder: Path, *tasks: dict[str, Any]) -> Capability:
    return Capability(spec_of(*tasks), Subject(LazyModel(str(model_folder), "cpu"), Workspace(Path(), Path())))


def test_rows_name_task_subject_and_item_and_keep_the_further_metrics(tiny_model: Path, tmp_path: Path) -> None:
    cloze = {**questions(tmp_path), "task": "choices", "name": "cloze", "limit": 2}
    measured = evaluation(tiny_model, {**questions(tmp_path), "num_fewshot": 1}, cloze)
    assert measured.chunks() == 4
    rows = [row for chunk in range(4) for row in measured.rows(chunk)]
    assert [row.prompt_id for row in rows[:3]] == ["mmlu/astronomy/0", "mmlu/astronomy/1", "mmlu/astronomy/2"]
    assert [row.prompt_id for row in rows[-2:]] == ["cloze/anatomy/0", "cloze/anatomy/1"]
    assert {row.value for row in rows} <= {0.0, 1.0} and len({row.prompt for row in rows}) == len(rows) == 10
    assert rows[0].scorer == "lm-evaluation-harness@0.4.13/mmlu_astronomy@1.0"
    assert [score.attribute for score in rows[-1].scores or ()] == ["acc_norm"]
    labels = results.Labels("clean", 0.0, "keep", "m", 0, "none", 0.0)
    (table,) = benchmark_tables(results.frame(labels, "capability", rows))
    assert [(row[0], *row[2:]) for row in table.rows] == [("mmlu", 6, 0), ("cloze", 4, 0)]


def test_a_task_file_of_ones_own_may_generate(tiny_model: Path, tmp_path: Path) -> None:
    definition = tmp_path / "mine.yaml"
    definition.write_text(
        "task: mine\noutput_type: generate_until\ntest_split: test\ndoc_to_text: '{{query}}'\n"
        "doc_to_target: '{{answer}}'\n"
        "generation_kwargs: {until: ['\\n'], max_gen_toks: 4}\n"
        "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n"
    )
    task = {**questions(tmp_path), "task": "mine", "file": str(definition), "limit": 2}
    first = evaluation(tiny_model, task).rows(0)
    assert [row.value for row in first] == [0.0, 0.0] and all(isinstance(row.generation, str) for row in first)
    before = Capability.identity(spec_of(task))
    definition.write_text(definition.read_text().replace("max_gen_toks: 4", "max_gen_toks: 5"))
    assert Capability.identity(spec_of(task)) != before


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"task": "mmlu_pro_x"}, UnavailableError, "has no task 'mmlu_pro_x_astronomy'"),
        ({"task": "hellaswag"}, UnavailableError, "has no task 'hellaswag_astronomy'"),
        ({"keep": ["answer", "subject", "split"]}, InputError, "lack what the task mmlu/astronomy reads"),
        ({"keep": ["choices", "answer", "subject"], "num_fewshot": 2}, InputError, "num_fewshot needs items"),
    ],
)
def test_what_cannot_be_asked_is_one_message(
    tiny_model: Path, tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    task = questions(tmp_path)
    keep = changes.pop("keep", task["items"]["keep"])
    with pytest.raises(error, match=message):
        evaluation(tiny_model, {**task, "items": {**task["items"], "keep": keep}, **changes}).rows(0)


def test_two_tasks_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mmlu stands more than once"):
        spec_of(questions(tmp_path), questions(tmp_path))


def test_a_file_without_items_is_refused(tmp_path: Path) -> None:
    task = questions(tmp_path)
    Path(task["items"]["path"]).write_text("")
    with pytest.raises(AmountError, match="no items for mmlu"):
        read_questions(CapabilityTaskSpec.model_validate(task))
