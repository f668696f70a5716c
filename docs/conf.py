"""Settings of Sphinx; `nox -s docs` builds the pages and runs their examples."""

from __future__ import annotations

from shotgun_executor import __version__

project = "shotgun_executor"
author = "the authors of shotgun_executor"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"shotgun_executor {__version__}"

myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Only what a page marks as an example is run; docstrings are not.
doctest_test_doctest_blocks = ""

# The inventories of other projects would have to be fetched from the network, so names that are
# documented elsewhere have no target here.
_ELSEWHERE = (
    r"concurrent\.futures\..*|BrokenThreadPool|CancelledError|os\.PathLike|datetime\.datetime",
    r"shotgun_api3\..*|Shotgun|BaseEntity|OrderItem|GroupingItem|(Client|Server)Capabilities",
    r"Unpack|Concatenate",  # of typing, which the Sphinx of Python 3.9 does not know
    r"Observer|Options|Tracer|Entity",  # a function; for options(); of OpenTelemetry; a dict
    r"ShotgunArguments",  # exists for type checkers only; spelled out under **arguments
    r"T|R|P|P\.args|P\.kwargs|.*\.T",  # type variables
)
nitpick_ignore_regex = [(r"py:.*", names) for names in _ELSEWHERE]
