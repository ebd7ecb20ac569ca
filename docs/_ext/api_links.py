"""Links from the names of public classes and functions to their pages."""

import inspect

from docutils import nodes
from sphinx.addnodes import pending_xref

import sklhash
from sklhash import metrics

NAMES = {
    name
    for module in (sklhash, metrics)
    for name in module.__all__
    if inspect.isroutine(it := getattr(module, name)) or inspect.isclass(it)
} - {"load", "save"}  # methods of others have these names, too


def link_names(app, doctree):
    """Have names in the text lead to their pages."""
    for literal in list(doctree.findall(nodes.literal)):
        is_link = isinstance(literal.parent, nodes.reference | pending_xref)
        if literal.astext() in NAMES and not is_link:
            link = pending_xref(
                "",
                literal.deepcopy(),
                refdomain="py",
                reftype="obj",
                reftarget=f"sklhash.{literal.astext()}",
                refdoc=app.env.docname,
                refwarn=True,
            )
            literal.replace_self(link)


def find_by_last_name(app, env, node, contnode):
    """Find a public name, whichever module it is looked for in."""
    python, target = env.get_domain("py"), node["reftarget"]
    if target.startswith("sklhash."):
        target = target.rpartition(".")[2]
    for name, entry in python.objects.items():
        if name.endswith(f".{target}") and entry.objtype in ("class", "function"):
            return python.resolve_xref(
                env, node["refdoc"], app.builder, "obj", name, node, contnode
            )


def setup(app):
    """Connect the above."""
    app.connect("doctree-read", link_names)
    app.connect("missing-reference", find_by_last_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
