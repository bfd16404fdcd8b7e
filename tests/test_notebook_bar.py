from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from nni_nasoa.notebook_bar import NotebookBar, in_notebook


def test_the_bar_is_an_output_that_is_replaced():
    InteractiveShell.instance()
    assert not in_notebook()  # a terminal with IPython is none
    with capture_output() as shown:
        bar = NotebookBar("a <b>")
        bar.show(0.5, "too soon to be shown, but what it was in the end")
        bar.close()
    first, last = shown.outputs
    assert first.data["text/plain"] == "a <b>" and not first.update
    assert first.data["text/html"] == '<progress max="1" value="0.000"></progress> <code>a &lt;b&gt;</code>'
    assert last.update and 'value="0.500"' in last.data["text/html"]
