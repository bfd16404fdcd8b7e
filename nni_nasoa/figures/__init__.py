"""The paper's figures (NASOA, ICCV 2021, arXiv 2108.03434), drawn from runs that this project made.

`budgets` is figure 5, of recorded `time_limits`; `freezing` figure 6 (left), `model_trade_off` figure 6
(right), `along_time` figure 7, `block_drawing` figure 8, `block_search` figure 9, and `search_front` that of
any search. `runs` reads and writes the records of which 6 and 7 are drawn, `make_runs` makes them.
`overview` is figure 1, `search_space` figure 2, `efficiency` figures 3, 4 and 10: of `published` points and
of `step_times` that are measured. `claims` are the paper's, beside what was `measured`; `gallery` makes all.
matplotlib is imported where something is drawn, always with the Agg canvas, so that no display is needed and
no global state of pyplot is touched.
"""

STEP_TIMES = "step-times.json"
"""The name of the file of measured step times beside a figure."""
