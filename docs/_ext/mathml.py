"""Formulas as MathML, which browsers draw without a script from elsewhere."""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)


def with_spaces(mathml):
    """Return the formula with `log x` apart, and with braces and bars like brackets."""
    mathml = re.sub(
        r"<mo>&ApplyFunction;</mo>(?!\s*<m\w+[^>]*>[(\[|])",
        '<mspace width="0.17em"></mspace>',
        mathml,
    )
    mathml = re.sub(r"<mo>([{}])</mo>", r'<mo stretchy="false">\1</mo>', mathml)
    mathml = mathml.replace(
        '<mo stretchy="false">|</mo>',
        '<mo stretchy="false" lspace="0" rspace="0">|</mo>',
    )
    return re.sub(r"([({,]</mo>\s*<mo)(>\N{MINUS SIGN})", r'\1 form="prefix"\2', mathml)


def as_mathml(node, **options):
    """Return the formula as MathML or, with a warning, as it was written."""
    try:
        return with_spaces(tex2mathml(node.astext(), **options))
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
