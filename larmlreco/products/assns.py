"""Links between the rows of two products (``art::Assns``)."""

from dataclasses import dataclass

from larmlreco.products.base import Int32, Product, array_field


@dataclass(frozen=True, eq=False, kw_only=True)
class Assns(Product):
    """Pairs of rows of two products.

    ``meta``: ``left`` and ``right``, the branch names (``<Type>_<label>_<instance>_<process>``) of the products
    that the indices point into. Rows are ordered by left, then right, unless they come from an art file, whose
    order they keep.
    """

    left: Int32 = array_field("i4", "row of the left product")
    right: Int32 = array_field("i4", "row of the right product")
