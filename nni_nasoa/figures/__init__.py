"""The paper's figures (NASOA, ICCV 2021, arXiv 2108.03434), drawn from runs that this project made.

`freezing` is figure 6 (left), `along_time` figure 7 and 6 (right), `block_drawing` figure 8, `search_front`
figure 9. `runs` reads and writes the records that the first two are drawn from, `making` makes them.
matplotlib is imported where something is drawn, always with the Agg canvas, so that no display is needed and
no global state of pyplot is touched.
"""
