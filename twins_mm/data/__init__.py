"""The data sets: `data_sets` describes them, `archives` unpacks them, `checks` looks for them."""
