"""Which jobs a change reruns: none too few (stale results) and none too many (lost hours)."""

LAWS = ("information", "scaling_law", "gap_law", "overtraining", "ablations", "along_stream")
NEW_ROW = "smoke-6k-early\tsmoke\ttrained\tsmoke-6k\tstep32\t32\t16384\tsmoke-sources\n"


def rules(jobs):
    return {rule for rule, _ in jobs}


def test_a_second_run_does_nothing(finished):
    assert finished.pending() == []


def test_a_new_row_runs_its_own_chain_only(finished_copy):
    finished_copy.append("config/smoke.tsv", NEW_ROW)
    jobs = finished_copy.pending()
    own = [log for _, log in jobs if log.startswith("results/smoke/smoke-6k-early/")]
    rest = {log for _, log in jobs if not log.startswith("results/smoke/smoke-6k-early/")}
    # resolve, history, four draws, the checkpoint's score; a score beside references and the price that it gives; for two quantizers
    # quantize, encode, decode, score, bound; for the coded one compress in place of quantize and encode; for the certificate a score
    # and itself; two held-out scores and the baseline; input moments and Hessian; references and ablations; no trajectory, which is
    # that of the run's latest row
    assert len(own) == 7 + 2 + 2 * 5 + 4 + 2 + 3 + 2 + 2
    # and what is about the whole family: its saved configuration and rows, its table, its figures
    figures = {f"results/smoke/figures/{name}.log" for name in ("bounds_by_size", "terms", "loss_variation", "rates", "certificates", "gaps", "baselines")}
    figures |= {f"results/smoke/figures/{name}.log" for name in ("quantizability", "spectra", "hessian", "seeds", *LAWS)}
    tables = ("config", "bounds", "certificates", "baselines", "quantizability", "spectra", "hessian", "hessian_nodes", "loss_curves", "seeds", *LAWS)
    assert rest == {*(f"results/smoke/{name}.log" for name in tables), *figures}


def test_a_new_quantizer_leaves_the_others_alone(finished_copy):
    finished_copy.edit("config/smoke.yaml", "quantize_with: [rtn-4, gptq-4, coded]", "quantize_with: [rtn-4, gptq-4, coded, gptq-3]")
    jobs = finished_copy.pending()
    chains = {log for _, log in jobs if "/quantizers/" in log}
    assert len(chains) == 2 * 5
    assert all("/gptq-3/" in log for log in chains)


def test_a_larger_model_to_train_does_not_retrain_the_others(finished_copy):
    finished_copy.edit("config/smoke.yaml", "    steps: 120\n", "    steps: 121\n")
    finished_copy.edit("config/smoke.tsv", "step120\t120\t61440", "step121\t121\t61952")
    jobs = finished_copy.pending()
    assert "train_smoke_13k" in rules(jobs)
    assert "train_smoke_6k" not in rules(jobs)
    assert not [log for _, log in jobs if log.startswith("results/smoke/smoke-6k/")]


def test_an_edit_of_scoring_reruns_its_stages_and_what_follows(finished_copy):
    finished_copy.edit("workflow/scalebound/scoring/scoring.py", "CPU_TOKENS_PER_BATCH = 8192", "CPU_TOKENS_PER_BATCH = 4096")
    changed = rules(finished_copy.pending())
    assert {"score_trajectory", "bound_trajectory", "trajectory_table", "score_heldout", "score_heldout_quantized", "baseline", "baselines_table"} <= changed
    assert {"score", "score_quantized", "quantize", "compress", "bound", "table", "score_certify", "certify", "certificates", "figures"} <= changed
    assert not {"train_smoke_6k", "tokenize", "tokenizer", "documents", "sample", "resolve", "heldout"} & changed


def test_an_edit_of_references_leaves_scores_without_them_alone(finished_copy):
    finished_copy.edit("workflow/scalebound/models/references.py", "if step == 0:", "if step < 1:")
    changed = rules(finished_copy.pending())
    assert {"score_calibration", "price", "compress", "score_quantized", "score_certify", "certify"} <= changed
    assert not {"train_smoke_6k", "resolve", "history", "sample", "score", "score_heldout", "quantize", "score_trajectory"} & changed


def test_an_edited_formula_reruns_bounds_only(finished_copy):
    """The table of certificates shows bounds beside them; no certificate is made again."""
    finished_copy.edit("workflow/scalebound/bounds/azuma.py", "np.sqrt(c / 2)", "np.sqrt(c / 2.0)")
    studies = {"bound_trajectory", "trajectory_table", "baseline", "baselines_table", "quantizability_table"}
    studies |= {"loss_curves", "scaling_law", "information_table", "gap_law_table", "overtraining_table", "references", "ablate", "ablations_table"}
    studies |= {"along_stream_table", "bound_student", "requential_table", "seeds_table"}
    assert rules(finished_copy.pending()) == {"bound", "table", "certificates", "figures"} | studies


def test_an_edit_of_how_certificates_are_made_reruns_them_only(finished_copy):
    finished_copy.append("workflow/scalebound/commands/certify.py", "\nEDITED = True\n")
    assert rules(finished_copy.pending()) == {"certify", "certificates", "baselines_table", "gap_law_table", "seeds_table", "figures"}


def test_an_edit_of_how_certificates_are_verified_reruns_nothing(finished_copy):
    finished_copy.append("workflow/scalebound/bounds/recheck.py", "\nprint('edited')\n")
    assert finished_copy.pending() == []


def test_an_edit_of_one_settings_model_reruns_what_reads_it(finished_copy):
    finished_copy.edit("workflow/scalebound/configuration/studies.py", "bootstrap: int = Field(200", "bootstrap: int = Field(300")
    jobs = finished_copy.pending()
    assert rules(jobs) == {"resolved_config", "scaling_law", "information_table", "gap_law_table", "overtraining_table", "figures"}
    drawn = {log.removeprefix("results/smoke/figures/") for rule, log in jobs if rule == "figures"}
    assert drawn == {"information.log", "scaling_law.log", "gap_law.log", "overtraining.log"}


def test_an_edit_of_one_entry_of_a_registry_reruns_the_stages_that_can_take_it(finished_copy):
    finished_copy.edit("workflow/scalebound/quantization/methods.py", "Method(incoherent, calibrated=True)", "Method(incoherent, calibrated=bool(1))")
    jobs = finished_copy.pending()
    assert {"quantize", "encode", "decode", "score_quantized", "bound", "score_trajectory"} <= rules(jobs)
    assert not {"train_smoke_6k", "resolve", "sample", "score", "compress", "certify", "hessian"} & rules(jobs)
    assert not [log for _, log in jobs if "/quantizers/coded/" in log]


def test_an_edit_of_one_figure_draws_that_figure_only(finished_copy):
    finished_copy.edit("workflow/scalebound/figures/terms.py", "def draw(table):", "def draw(table, more=1):")
    assert finished_copy.pending() == [("figures", "results/smoke/figures/terms.log")]


def test_a_definition_that_nothing_names_reruns_nothing(finished_copy):
    finished_copy.append("workflow/scalebound/scoring/scoring.py", "\nMORE = True\n\n\ndef more():\n    return MORE\n")
    assert finished_copy.pending() == []


def test_another_draw_of_the_certificate_leaves_bounds_and_codes_alone(finished_copy):
    finished_copy.edit("config/smoke.yaml", "certify: {windows: 128, seed: 404}", "certify: {windows: 128, seed: 405}")
    # the configuration of the run is written again
    made = {"sample", "score_certify", "certify", "certificates", "baselines_table", "gap_law_table", "seeds_table", "figures"}
    assert rules(finished_copy.pending()) == {"resolved_config"} | made


def test_another_draw_to_tune_on_reruns_the_coded_quantizer_only(finished_copy):
    finished_copy.edit("config/smoke.yaml", "tuning: {windows: 40, seed: 303}", "tuning: {windows: 40, seed: 304}")
    jobs = finished_copy.pending()
    assert "compress" in rules(jobs)
    assert "quantize" not in rules(jobs)
    assert not [log for _, log in jobs if "/rtn-4/" in log or "/gptq-4/" in log]


def test_comments_docstrings_and_formatting_rerun_nothing(finished_copy):
    finished_copy.append("workflow/scalebound/scoring/scoring.py", "\n\n# a comment\n")
    finished_copy.edit("workflow/scalebound/bounds/azuma.py", '"""The Azuma bound', '"""Another sentence. The Azuma bound')
    finished_copy.edit("workflow/scalebound/bounds/azuma.py", "np.sqrt(c / 2)", "np.sqrt( c/2 )")
    assert finished_copy.pending() == []


def test_a_changed_seed_reruns_its_draw_and_what_follows(finished_copy):
    finished_copy.edit("config/smoke.yaml", "score: {windows: 64, seed: 101}", "score: {windows: 64, seed: 103}")
    jobs = finished_copy.pending()
    assert {"sample", "score", "score_quantized", "bound"} <= rules(jobs)
    assert "quantize" not in rules(jobs)
    assert not [log for _, log in jobs if "/sample/calibration/" in log]
