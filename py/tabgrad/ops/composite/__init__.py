"""Functions made of other ops, with no rules of their own: their derivatives follow from their parts."""
