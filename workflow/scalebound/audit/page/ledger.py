"""What is claimed of each number of a family's tables: the lines of the ledger in docs/claims.md and of the page's "What is claimed".

Each column of bounds.csv, certificates.csv and comparison.csv belongs to one line; a name that is in several tables means the
same in all of them. `make docs` writes the page of docs from here.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

KINDS = {
    "certificate": "holds as computed, with the probability that it states: real code length, every grid paid for, the draw covered",
    "estimate": "a bound whose means are those of a sample of windows, or whose code length is nominal; no probability covers that",
    "comparison": "a number beside one of another kind, no statement of its own",
    "measurement": "computed from the files; a mean over windows has the error of its draw",
    "prediction": "what a law that was fitted, or published, says of models that nobody has run here",
    "setting": "fixed before the run, counted, or chosen from a grid that C pays for",
}
STREAM, BOTH, DRAW, NONE = "stream", "stream and draw", "draw", "–"
PREFIXES, MODEL, TEXTS = "prefixes", "stream and model", "the documents set apart"


@dataclass(frozen=True)
class Line:
    """Columns (patterns of `fnmatch`) of one kind, and what a reviewer asks about them; `tests` are path::name below tests/."""

    columns: tuple
    kind: str
    what: str
    probability: str  # over what its probability is, for an estimate the one that its formula has
    given: str  # what is conditioned on
    paid: str  # which choices C or d pay for
    elsewhere: str  # which choices were made on other data than what it is computed on
    is_not: str
    tests: tuple

    def has(self, column):
        return any(fnmatchcase(column, pattern) for pattern in self.columns)


_BOUNDS, _RUN = "unit/bounds/test_bounds", "workflow/test_smoke_run.py"
_RECIPE = "not of a real message: `_coded` columns count its bytes; not covering the draw"
_PLUGGED = "not covering the draw"

LINES = (
    Line(
        (
            *("checkpoint", "quantizer", "kind", "method", "status", "sampling", "bits", "vocab_size", "n_params", "sampled_windows", "windows"),
            "failure_probability",
        ),
        *("setting", "names, V, sizes of draws, and d1 + d2; sampling `approximate`: no uniform sample of what was seen, so no certificate"),
        *(NONE, NONE, NONE, "the configuration, before the run"),
        "not shown by any file: that no other seed was tried",
        (f"{_RUN}::test_bounds_say_that_they_are_estimates", "workflow/test_certificate.py::test_no_certificate_is_made_of_windows_that_are_no_uniform_draw"),
    ),
    Line(
        ("n_tokens",),
        *("setting", "n: each prediction of the first pass once; the first token of a row is context and counts for nothing"),
        *(NONE, NONE, NONE, NONE),
        "not the tokens processed: later epochs and tuning add nothing",
        (
            "unit/configuration/test_config.py::test_n_follows_the_first_pass_and_nothing_else",
            "unit/oracle/test_oracle_settings.py::test_rows_that_are_seen_again_are_not_counted_again",
        ),
    ),
    Line(
        ("train_loss", "train_loss_from_*", "quantized_loss"),
        *("measurement", "mean loss over the score draw, of the model as trained and as decoded, unsmoothed"),
        *(NONE, MODEL, NONE, NONE),
        "not the loss over the whole stream; what stands above it is a gap to a sample mean",
        (f"{_RUN}::test_losses_of_the_table_are_the_means_of_the_scores",),
    ),
    Line(
        ("nominal_bits_per_param", "coded_bits_per_param", "gptq_share"),
        *("measurement", "bits of the paper's accounting; bits of `model.sbq` made self-delimiting; share of the weights that GPTQ rounded"),
        *(NONE, "architecture and decoder", NONE, NONE),
        "nominal bits are no code length: nothing can be decoded from them",
        (f"{_RUN}::test_code_length_is_that_of_the_file", "unit/quantization/test_message.py::test_code_lengths_of_all_files_together_satisfy_kraft"),
    ),
    Line(
        ("C", "C_coded", "C_from_*"),
        *(
            "measurement",
            "(L(h) log 2 + log(grid sizes / d)) / n: nominal L without suffix in `bounds.csv`; real L, and (D)'s second half, in `certificates.csv`",
        ),
        *(NONE, NONE, "L(h), every grid, d", NONE),
        "not the architecture, the decoder and the rule of references, which are fixed before the data",
        (
            f"{_BOUNDS}_complexity.py::test_complexity_of_a_small_message",
            f"{_BOUNDS}_evaluation.py::test_each_complexity_pays_for_the_grids_that_are_searched",
        ),
    ),
    Line(
        ("alpha", "freedman_alpha", "freedman_s", "azuma_alpha"),
        *("setting", "smoothing weight of (P), which C alone determines; the best grid points of (F) and Azuma"),
        *(NONE, MODEL, "all but the first, by the sizes of their grids", NONE),
        "not free: a grid point is chosen on the stream",
        (
            f"{_BOUNDS}_smoothing.py::test_closed_form_alpha_is_the_numerical_minimum_and_its_value_is_the_cost",
            f"{_BOUNDS}_evaluation.py::test_reported_choices_attain_the_reported_bounds",
        ),
    ),
    Line(
        ("paper_bound", "paper_bound_sqrt", "paper_bound_coded"),
        *("estimate", "the paper's bound (P); `_sqrt` with sqrt(2C) as printed there"),
        *(STREAM, PREFIXES, "L(h), grid of s", "rounding: calibration draw"),
        _RECIPE,
        (
            f"{_RUN}::test_paper_bound_of_the_table_follows_from_the_formula",
            f"{_BOUNDS}_coverage.py::test_freedman_holds_for_a_selected_predictor_that_pays_its_bits",
        ),
    ),
    Line(
        ("sigma", "sigma_coded", "term_*"),
        *("estimate", "loss variation, and what (P) is the sum of"),
        *(STREAM, PREFIXES, "as (P)", "as (P)"),
        "not bounds one by one: only their sum is",
        (f"{_BOUNDS}_evaluation.py::test_paper_terms_add_up", f"{_BOUNDS}_freedman.py::test_sigma_belongs_to_the_chosen_s"),
    ),
    Line(
        ("freedman_bound", "freedman_bound_coded"),
        *("estimate", "(F) at its best s and smoothing weight"),
        *(STREAM, PREFIXES, "L(h), grids of s and weight", "rounding: calibration draw"),
        _RECIPE,
        (
            f"{_BOUNDS}_coverage.py::test_freedman_holds_on_a_markov_source",
            f"{_BOUNDS}_coverage.py::test_freedman_without_or_against_its_complexity_fails_on_a_markov_source",
        ),
    ),
    Line(
        ("geometric_bound", "geometric_bound_coded"),
        *("estimate", "(G), ceilings from the model's entropy"),
        *(STREAM, PREFIXES, "L(h), grids of ceilings and weight", "rounding: calibration draw"),
        _RECIPE,
        (
            f"{_BOUNDS}_coverage.py::test_geometric_and_freedman_hold_and_their_mutants_fail",
            f"{_BOUNDS}_coverage.py::test_a_ceiling_that_looks_at_the_token_is_no_bound",
        ),
    ),
    Line(
        ("azuma_bound", "azuma_bound_coded"),
        *("estimate", "the bound of earlier work, for comparison"),
        *(STREAM, PREFIXES, "L(h), grid of weight", "rounding: calibration draw"),
        _RECIPE,
        (f"{_BOUNDS}_coverage.py::test_azuma_holds_for_a_selected_predictor_exactly_if_it_pays_its_bits",),
    ),
    Line(
        ("online_bound", "online_bound_coded"),
        *("estimate", "(D) beside earlier models of the run"),
        *(
            STREAM,
            "prefixes, and what the training recipe was chosen on",
            "L(h) and grids; half of d each",
            "rounding: calibration draw; recipe: rows behind the stream",
        ),
        _RECIPE,
        (
            f"{_BOUNDS}_online_coverage.py::test_the_bound_holds_on_a_markov_source_with_a_reference_that_learns_and_without_complexity_fails",
            f"{_BOUNDS}_online_coverage.py::test_a_reference_that_has_seen_the_row_itself_is_no_reference",
        ),
    ),
    Line(
        ("reference_bound",),
        *("estimate", "the first half of (D): online to batch"),
        *(STREAM, "as (D)", "its grids, half of d; no code", "as (D)"),
        "not about the certified model: about the model as it changed; not covering the draw, in `certificates.csv` neither",
        (
            f"{_BOUNDS}_online_coverage.py::test_the_references_half_holds_and_without_complexity_fails",
            f"{_BOUNDS}_online.py::test_the_estimate_has_its_halves",
        ),
    ),
    Line(
        ("reference_loss", "difference_second_moment", "mean_largest_difference"),
        *("measurement", "online loss of the references, v and mean m of (D)"),
        *(NONE, MODEL, NONE, NONE),
        "not over the whole stream",
        ("unit/scoring/test_beside_reference.py::test_all_columns_equal_the_formula", f"{_BOUNDS}_online.py::test_by_hand"),
    ),
    Line(
        ("heldout_loss", "heldout_standard_error"),
        *("measurement", "mean loss of the model as trained on documents set apart, its error over windows"),
        *(NONE, TEXTS, NONE, NONE),
        "not of the quantized model; the error takes windows of one document as independent",
        ("workflow/test_baselines_run.py::test_held_out_windows_are_text_of_held_out_documents_and_of_no_row_that_was_trained_on",),
    ),
    Line(
        ("heldout_bound",),
        *("estimate", "betting bound on the risk of the model as trained, smoothed by 0.01"),
        *("held-out windows, if they were independent", NONE, "d; no code", "the model: trained on other documents; the bet: the first tenth"),
        "not a certificate: windows of one document are not independent; not about the stream",
        (f"{_BOUNDS}_confidence.py::test_a_bet_on_the_first_values_holds_for_the_mean_of_all",),
    ),
    Line(
        ("paper_recipe", "real_code_length", "geometric", "rate_chosen", "tuned"),
        *("estimate", "the way to the certificate: columns of `bounds.csv`, the first (F) nominal, the others of real messages"),
        *(STREAM, PREFIXES, "L(h), grids", "rounding, rate: calibration draw; codes: tuning draw"),
        f"{_PLUGGED}; each at d of `bounds.csv`, not at d1 + d2",
        ("unit/commands/test_recipe_claims.py::test_certificates_are_compared_with_the_recipe_only_where_it_was_followed",),
    ),
    Line(
        ("estimate",),
        *("estimate", "what is certified, at the best grid point for all windows of the certificate's draw"),
        *(STREAM, PREFIXES, "L(h), grids, d1", "model: other draws"),
        _PLUGGED,
        (f"{_BOUNDS}_certificate.py::test_the_value_is_the_decided_bound_and_above_the_estimate",),
    ),
    Line(
        ("certificate",),
        *("certificate", "the decoded, smoothed model's mean conditional risk over the stream is at most this"),
        *(BOTH, "prefixes; for (D) also what the training recipe was chosen on"),
        *("L(h), every grid: C; draw: d2", "model, rate, codes: other draws; point, tangent, bet: pilot"),
        "not a bound for one document, other text, or the unsmoothed model",
        (
            "workflow/test_oracle_run.py::test_no_certificate_lies_below_the_truth",
            "workflow/test_oracle_run.py::test_an_online_bound_that_pays_for_nothing_falls_below_the_truth",
            f"{_BOUNDS}_online_coverage.py::test_whole_certificates_hold_on_a_markov_stream",
            "workflow/test_certificate.py::test_a_forged_certificate_is_named",
        ),
    ),
    Line(
        ("certificate_from_*", "without_references"),
        *("certificate", "the same for the later positions alone, with their n; for the whole stream by (G)"),
        *(BOTH, "as `certificate`", "as `certificate`, each for itself", "as `certificate`"),
        "not at once with `certificate`: all together, their d add",
        (
            f"{_BOUNDS}_online_coverage.py::test_the_later_part_pays_with_its_own_number_of_tokens",
            f"{_BOUNDS}_certificate_coverage.py::test_whole_certificates_hold_on_a_markov_stream",
        ),
    ),
    Line(
        ("gap_ratio", "gap_ratio_from_*"),
        *("comparison", "the certificate's gap above `train_loss` over that of `paper_recipe`"),
        *(NONE, NONE, NONE, NONE),
        "not a statement: a certificate over an estimate, both above a sample mean",
        ("unit/commands/test_recipe_claims.py::test_certificates_are_compared_with_the_recipe_only_where_it_was_followed",),
    ),
    Line(
        ("decoded_loss", "share_of_training"),
        *("measurement", "loss of the certified model on the certificate's draw less the pilot; tokens that codes were tuned on, of those trained on"),
        *(NONE, MODEL, NONE, NONE),
        "not comparable to `train_loss` as a cost of coding alone: tuning is more training",
        (
            f"{_BOUNDS}_certificate.py::test_terms_add_up_from_the_loss_to_the_value",
            "unit/quantization/test_rate_tuning.py::test_steps_and_rates_follow_the_training_tokens",
        ),
    ),
    Line(
        ("true_risk", "trained_risk"),
        *("measurement", "what `certificate` bounds, summed over the vocabulary at every position; the same of the model as trained"),
        *(NONE, "rows, and the oracle that wrote them", NONE, NONE),
        "not known of any real text",
        (
            "unit/oracle/test_true_risk.py::test_it_is_what_enumeration_gives",
            "unit/oracle/test_true_risk.py::test_losses_on_a_long_stream_come_close_to_risks_by_their_standard_errors",
        ),
    ),
    Line(
        ("*_published", "train_loss_difference", "paper_bound_difference", "azuma_bound_difference"),
        *("comparison", "published values (`comparison.csv`), and ours less these"),
        *(NONE, NONE, NONE, NONE),
        "not computed here; they are estimates too",
        (
            "unit/commands/test_compare.py::test_differences_are_ours_less_the_published_for_the_named_quantizer_alone",
            f"{_BOUNDS}_published_table.py::test_azuma_gaps_exceed_the_published_ones_by_the_stated_range",
        ),
    ),
)
# tables of studies, which the page does not show: each belongs to one line, that of the most that is claimed in it
STUDIES = (
    Line(
        ("trajectory.csv", "ablations.csv", "along_stream.csv", "baselines.csv", "information.csv", "requential.csv"),
        *("estimate", "bounds of other steps, settings, parts and code lengths; in `information.csv`, and of most students, the length is that of no code"),
        *(STREAM, PREFIXES, "as in `bounds.csv`", "draws of their own, by seed"),
        "not certificates, `certificate` in `baselines.csv` apart, which is that of `certificates.csv`",
        (
            "workflow/test_trajectory_run.py::test_paper_bound_follows_from_the_formula_at_every_step",
            "workflow/test_baselines_run.py::test_bounds_and_certificates_are_those_of_their_tables",
        ),
    ),
    Line(
        ("gap_law.csv", "overtraining.csv", "online_law.csv"),
        *("prediction", "gaps at sizes that were not run, under a fitted or a published law; beside them in `gap_law.csv` the measured ones"),
        *(NONE, "the law, and an assumption for mean m", NONE, "published constants: other text"),
        "not measured, and not bounds of anything",
        (
            "unit/laws/test_gap.py::test_the_gap_of_information_falls_as_half_of_beta",
            "unit/commands/test_online_law_table.py::test_a_row_is_what_the_law_predicts_under_its_assumptions",
        ),
    ),
    Line(
        ("loss_curves.csv", "scaling_law.csv", "gap_exponents.csv", "quantizability.csv", "spectra.csv", "hessian.csv", "hessian_nodes.csv"),
        *("measurement", "losses along training, laws and exponents fitted to them, spectra and Hessians on some windows"),
        *(NONE, "runs and windows", NONE, NONE),
        "not bounds; intervals are those of the fit, where there are some",
        (
            "unit/laws/test_chinchilla.py::test_intervals_hold_what_was_put_in_and_shrink_with_the_noise",
            "unit/laws/test_gap.py::test_the_exponent_of_a_power_law_is_found_with_its_error",
        ),
    ),
    Line(
        ("seeds.csv",),
        *("comparison", "spread of losses, estimates and certificates over models that differ by the draw of their first weights"),
        *(NONE, "the stream, its order and the draws of windows", NONE, NONE),
        "not an interval for a certificate; the least of several is none, unless their d add",
        ("unit/commands/test_seeds.py::test_spreads_are_those_of_the_models_of_a_size",),
    ),
)


def in_order(lines):
    """What is claimed most of comes first."""
    return sorted(lines, key=lambda line: tuple(KINDS).index(line.kind))


def line_of(column):
    """The line of a column. Raises LookupError for a column of none, or of several."""
    found = [line for line in LINES if line.has(column)]
    if len(found) != 1:
        raise LookupError(f"column {column!r} is in {len(found)} lines of the ledger")
    return found[0]


def as_rows():
    """The ledger for docs/claims.md: a dict of Markdown cells for each line."""
    return [
        {
            "number": ", ".join(f"`{name}`" for name in line.columns),
            "kind": f"**{line.kind}**",
            "what": f"{line.what}. {line.is_not[0].upper()}{line.is_not[1:]}",
            "probability": line.probability,
            "given": line.given,
            "paid": line.paid,
            "elsewhere": line.elsewhere,
            "tests": "<br>".join(f"`{test}`" for test in line.tests),
        }
        for line in (*in_order(LINES), *STUDIES)
    ]
