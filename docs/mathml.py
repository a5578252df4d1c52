"""Formulas as MathML, which browsers draw by themselves: no script, no font and no network at view time."""

from html import escape

from docutils import nodes
from latex2mathml.converter import convert


def _mathml(node, display):
    source = node.astext()
    formula = convert(source, display=display)
    return formula.replace("<math ", f'<math aria-label="{escape(source, quote=True)}" ', 1)


def visit_math(self, node):
    self.body.append(f'<span class="formula">{_mathml(node, "inline")}</span>')
    raise nodes.SkipNode


def visit_math_block(self, node):
    self.body.append(f'<div class="formula-block">{_mathml(node, "block")}</div>')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
