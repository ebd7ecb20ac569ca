"""Formulas as MathML, which browsers draw without a script from elsewhere."""

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)


def as_mathml(node, **options):
    """Return the formula as MathML or, with a warning, as it was written."""
    try:
        return tex2mathml(node.astext(), **options)
    except MathError as error:
        logger.warning("%s", error, location=node)
        return f"<code>{node.astext()}</code>"


def write_inline(writer, node):
    """Write a formula in a line."""
    writer.body.append(as_mathml(node))
    raise nodes.SkipNode


def write_block(writer, node):
    """Write a formula on a line of its own, with its label to be linked to."""
    writer.body.append(writer.starttag(node, "div", CLASS="formula"))
    writer.body.append(as_mathml(node, as_block=True))
    writer.body.append("</div>")
    raise nodes.SkipNode


def setup(app):
    """Add the way of writing formulas that `html_math_renderer = "mathml"` names."""
    app.add_html_math_renderer("mathml", (write_inline, None), (write_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
