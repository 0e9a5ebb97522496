"""What a report consists of, in order. A new figure or table is a line here: a frame, the table that shows it and,
where there are such, figures. Page, terminal, Parquet, CSV, Markdown and LaTeX take it from here.
"""

from __future__ import annotations

from functools import partial

import polars as pl

from analysis.report import (
    entropy_tables,
    fit_tables,
    frames,
    geometry_tables,
    group_tables,
    published_tables,
    tables,
    training_tables,
)
from analysis.report.agreement_tables import agreement_tables
from analysis.report.checkpoint_figures import checkpoint_probes, checkpoint_toxicity
from analysis.report.dose_figures import dose_figure
from analysis.report.fit_figures import fitted_figures
from analysis.report.frontier_figure import frontier_figure
from analysis.report.group_figures import group_figures
from analysis.report.model_figures import probes_figure, training_figure
from analysis.report.section import (
    Computed,
    Material,
    Section,
    drawn,
    of_panels,
    of_report,
    of_results,
    one,
    resampled,
    seeded,
)
from analysis.statistics import fit_frames
from analysis.statistics.agreement import agreement_table, answers_table
from analysis.statistics.benchmarks import attacks, benchmark_frame, tasks
from analysis.statistics.dose_response import dose_response
from analysis.statistics.effects import beside_table, effects_table
from analysis.statistics.entropy import entropy_table
from analysis.statistics.fluency import fluency_table
from analysis.statistics.frames import (
    arms_table,
    dose_response_table,
    frontier_table,
    head_accuracy_table,
    probes_table,
)
from analysis.statistics.gaps import gaps_table
from analysis.statistics.geometry import geometry_table
from analysis.statistics.groups import groups_table, sets_table
from analysis.statistics.heads import heads_table
from analysis.statistics.recognition import recognition_table
from analysis.statistics.relearning import relearning_table
from analysis.statistics.training import training_table
from infra.render.page import Table


def _dose_response(material: Material) -> pl.DataFrame:
    report, panels = material.report, material.panels
    if not panels.cells:
        return pl.DataFrame()
    found = dose_response(panels, report.allowance, resamples=report.resamples, seed=report.seed)
    return frames.with_counts(dose_response_table(found, panels), arms_table(report.results))


def _effects(material: Material) -> pl.DataFrame:
    report = material.report
    return effects_table(report.results, report.published, resamples=report.resamples, seed=report.seed)


def _beside(material: Material) -> pl.DataFrame:
    report = material.report
    return beside_table(report.results, report.published, resamples=report.resamples, seed=report.seed)


def _answers(material: Material) -> pl.DataFrame:
    report = material.report
    return answers_table(report.results, report.allowance, resamples=report.resamples, seed=report.seed)


def _agreement(frame: pl.DataFrame) -> list[Table]:
    return agreement_tables(frame, pl.DataFrame())


def _answers_shown(frame: pl.DataFrame) -> list[Table]:
    return agreement_tables(pl.DataFrame(), frame)


def _frontier(material: Material) -> pl.DataFrame:
    report, panels = material.report, material.panels
    if not panels.cells:
        return pl.DataFrame()
    table = frontier_table(panels, resamples=report.resamples, seed=report.seed)
    return frames.with_counts(table, arms_table(report.results))


SECTIONS: tuple[Section, ...] = (
    Section(
        "failed",
        "Something failed",
        "These steps have no figures, and arms that lack a figure of the grid are not compared.",
        (Computed("failures", of_report(frames.failures_frame), one(tables.failures)),),
    ),
    Section(
        "published",
        "What papers report",
        "Each published effect with the difference that came out here, and published tables with our figures beside"
        " them; marks say where a published number is from. Models, data and scorers differ: read directions, not"
        " values.",
        (
            Computed("effects", _effects, published_tables.effect_table),
            Computed("beside", _beside, published_tables.beside_tables, folded=True),
        ),
    ),
    Section(
        "curve",
        "Dose–response, method by method",
        "Least mean toxicity that was measured of each method within {allowance}, by dose of risky text; doing nothing"
        " is grey in every panel. Bars are 95 % intervals over prompts, seeds and held-out documents. Series are set"
        " apart sideways so that the bars can be seen. A dose is the share of all training tokens that the risky"
        " component has; not all of its text is risky. Share of tokens whose own risk is 0.5 or more, by dose:"
        " {doses}.",
        (Computed("dose_response", _dose_response, one(tables.dose_response), folded=True),),
        drawn("dose_response", dose_figure),
    ),
    Section(
        "fitted",
        "What the curve says",
        "Curves through the points above: smooth after steering, while unsteered toxicity can only rise with dose."
        " A band is a 95 % interval at each dose by itself, over prompts and seeds, and none of the whole curve: at"
        " 93 to 95 % of doses it held the truth of simulated studies; with one seed it speaks of these very"
        " models. It takes the curve's shape between the doses for granted, and settings as if they had been given."
        " Below: the dose of least toxicity, or why these data do not determine it; which recipe resamples of prompts"
        " and seeds would name; and how far below the highest unsteered toxicity a frontier is over all budgets.",
        (
            Computed("curves", of_panels(fit_frames.curves_table)),
            Computed("optima", of_panels(fit_frames.optima_table), fit_tables.optima_tables),
            Computed("stability", of_panels(fit_frames.stability_table, resamples=False), fit_tables.stability_tables),
            Computed(
                "hypervolume", of_panels(fit_frames.hypervolume_table), fit_tables.hypervolume_tables, folded=True
            ),
        ),
        lambda given, _: fitted_figures(given["curves"], given["dose_response"]),
    ),
    Section(
        "frontier",
        "Frontiers",
        "Each point was measured: an arm under a recipe at one budget or strength. Lines join the undominated points"
        " for the eye, hollow points are dominated. Dotted: upright, the budget; level, the clean unsteered model."
        " Compare arms at equal price, not at equal strength. Intervals stand on hover and in the table.",
        (
            Computed("frontier", _frontier, one(tables.frontier), folded=True),
            Computed(
                "strengths",
                of_report(frames.strengths_frame),
                one(tables.strengths),
                folded=True,
                note="Strengths found by cross-entropy alone, on held-out documents that are not among those measured"
                " above; interval over these documents. Not reached: the method costs less at any strength, or jumps"
                " over the budget; strength 0: what acts beside it costs more alone.",
            ),
            Computed("arms", of_results(arms_table), one(tables.arms), folded=True),
            Computed(
                "left_out",
                of_report(frames.left_out_frame),
                one(tables.left_out),
                folded=True,
                note="A prompt is cut at its beginning where it is longer than the context has room for.",
            ),
        ),
        lambda given, report: (
            (frontier_figure(given["frontier"], report.allowance),) if given["frontier"].height else ()
        ),
    ),
    Section(
        "heads",
        "Probes",
        "Cross-validated accuracy of a logistic probe on each query head's output at the last token, telling toxic"
        " from benign lines of held-out documents. Heads of one model are not independent: the intervals are short of"
        " the truth.",
        (
            Computed("probes", resampled(probes_table), one(tables.probes)),
            Computed("heads", seeded(heads_table), geometry_tables.heads_table, note=geometry_tables.HEADS_NOTE),
            Computed("head_accuracy", of_results(head_accuracy_table)),
        ),
        drawn("head_accuracy", probes_figure),
        absent="Probes were not asked for.",
    ),
    Section(
        "geometry",
        "Geometry",
        "What the labelled activations look like, arm by arm: how many dimensions they fill, how far apart the classes"
        " lie, and how much the directions of attributes overlap. Intervals are over seeds: with one seed there is"
        " none.",
        (Computed("geometry", seeded(geometry_table), geometry_tables.geometry_table),),
    ),
    Section(
        "sets",
        "Sets of prompts, groups and recognition",
        "Toxicity on every set of prompts; by what a prompt says of itself, such as the people it speaks of, and the"
        " gap between the highest and the lowest of these groups, whose intervals hold for all groups together; and"
        " whether the model's last state tells toxic texts from benign ones, steered or not. Where prompts have groups,"
        " a figure has each method at its greatest budget or strength within {allowance}, else at its least; the table"
        " has all of them. Bars are 95 % intervals of one group alone: of many groups some stand out by chance, so read"
        " the gap below.",
        (
            Computed("sets", resampled(sets_table), group_tables.sets_table_of, folded=True),
            Computed("groups", resampled(groups_table), group_tables.groups_table_of, folded=True),
            Computed("gaps", resampled(gaps_table), group_tables.gaps_table_of),
            Computed("recognition", resampled(recognition_table), group_tables.recognition_table_of),
        ),
        lambda given, report: group_figures(given["groups"], given["frontier"], report.allowance),
    ),
    Section(
        "text",
        "Predicting and writing text",
        "Cross-entropy of every set of documents that was measured, in nats per token and in bits per byte (which do"
        " not depend on the tokenizer); how what was written reads; and how many steps of fine-tuning bring toxicity"
        " back.",
        (
            Computed("entropy", resampled(entropy_table), entropy_tables.entropy_tables, folded=True),
            Computed("fluency", resampled(fluency_table), entropy_tables.fluency_tables, folded=True),
            Computed("relearning", of_results(relearning_table), entropy_tables.relearning_tables),
        ),
    ),
    Section(
        "capability",
        "Capability",
        "Share of right answers, task by task, under the same steering as the generations; 95 % intervals over items."
        " A small model is near chance on most tasks: compare it with chance before arms are compared.",
        (
            Computed(
                "capability",
                lambda material: benchmark_frame(tasks(material.report.results)),
                one(partial(tables.benchmark, "Capability", "task")),
            ),
        ),
    ),
    Section(
        "red-team",
        "Red team",
        "Share of requests to which the steered model's reply begins with the target, by how the suffix was sought."
        " A search that fails shows only that this search failed.",
        (
            Computed(
                "red_team",
                lambda material: benchmark_frame(attacks(material.report.results)),
                one(partial(tables.benchmark, "Red team", "suffix")),
            ),
        ),
    ),
    Section(
        "over-training",
        "Over training",
        "What steering takes away at checkpoints on the way, and what the model had learned by then: toxicity arm by"
        " arm, and how well probes of the unsteered model tell toxic from benign lines. Neither checkpoints of one"
        " training nor heads of one model are independent; lines join points for the eye. Bars are 95 % intervals, set"
        " apart sideways so that they can be seen.",
        (Computed("training", resampled(training_table), training_tables.training_tables),),
        drawn("training", checkpoint_toxicity, checkpoint_probes),
    ),
    Section(
        "scorers",
        "Scorers",
        "How far scorers agree on the same generations, and whether the answer is the same under each of them.",
        (
            Computed("agreement", seeded(agreement_table), _agreement),
            Computed("answers", _answers, _answers_shown),
        ),
    ),
    Section(
        "models",
        "Training",
        "Unigram entropy is what a model that knows only how frequent each token is could reach: a model that has"
        " learned something is far below it. Cross-entropy stands here twice. Training's is over all held-out tokens"
        " of a component, packed as in training; the frontier's is over the first of these documents one by one, as"
        " steering acts on them, each from its beginning up to a limit. Targets are the same (every token, and the EOS"
        " of a document that is whole), contexts are not. Both numbers of targets stand in the table: compare figures"
        " of one column only.",
        (
            Computed("held_out", of_report(frames.held_out_frame), one(tables.held_out)),
            Computed("models", of_report(frames.models_frame), one(tables.models), folded=True),
            Computed("mixtures", of_report(frames.mixtures_frame), one(tables.mixtures), folded=True),
        ),
        drawn("held_out", training_figure),
    ),
    Section(
        "costs",
        "What it cost",
        "Hours from start to end of the steps, added up; steps that ran beside each other count each. GPU-hours are"
        " those of trainings: ranks × seconds of training alone.",
        (Computed("costs", of_report(frames.costs_frame), one(tables.costs)),),
    ),
)
