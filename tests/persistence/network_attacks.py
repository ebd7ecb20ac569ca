"""What a file might say of a network that it must not, as in `attacks`."""

import numpy as np

from tests.persistence.changes import fitted, layer, net, nodes, set_array


def _part_of_itself(forgery):
    nodes(forgery)[0]["children"]["again"] = 0


def _in_far_too_many_places(forgery):
    tree, first = nodes(forgery), len(nodes(forgery))
    empty = {name: {} for name in ("attributes", "parameters", "buffers")}
    for i in range(first, first + 120, 2):
        children = {"a": i + 2, "b": i + 3} if i < first + 118 else {}
        node = {"class": "torch.nn.Sequential", "children": children, **empty}
        tree.extend([{**node, "not_in_state_dict": []}] * 2)
    tree[0]["children"]["more"] = first
    tree[0]["children"]["most"] = first + 1


def _optimizer_named(name):
    def attack(forgery):
        net(forgery)["settings"]["dict"]["optimizer"] = {"named": name}

    return attack


def _optimizer_state_of_another_shape(forgery):
    name = next(n for n in forgery.arrays if n.endswith("exp_avg") and "net" in n)
    forgery.arrays[name] = np.zeros((2, 3), dtype=np.float32)


def _recurrent(weight_ih, dtypes=("float32",) * 4, **attributes):
    """Return what puts an LSTM of 5 features and 3 units in place of a layer."""

    def attack(forgery):
        shapes = {"weight_ih_l0": weight_ih, "weight_hh_l0": (12, 3)}
        shapes |= {"bias_ih_l0": (12,), "bias_hh_l0": (12,)}
        tensors, node = net(forgery)["module"]["module"]["tensors"], {}
        for (name, shape), dtype in zip(shapes.items(), dtypes, strict=True):
            forgery.arrays[name] = np.zeros(shape, dtype=dtype)
            value = {"tensor": {"dtype": dtype, "values": name}}
            node[name] = len(tensors)
            tensors.append({"value": value, "is_parameter": False})
        layer(forgery, "ReLU").update(
            {"class": "torch.nn.LSTM", "parameters": {}, "buffers": node},
            attributes={
                **{"mode": "LSTM", "input_size": 5, "hidden_size": 3, "num_layers": 1},
                **{"bias": True, "batch_first": False, "dropout": 0.0, "proj_size": 0},
                **{"bidirectional": False, "training": False},
                **{"_flat_weights_names": [*shapes], **attributes},
            },
        )

    return attack


# Kind of estimator, what is changed, what the error has to say.
NETWORK_ATTACKS = {
    "a recurrent layer whose two results nothing takes": (
        *("backbone", _recurrent((12, 5))),
        "'tuple' and 'Tensor'",
    ),
    **{
        f"a recurrent layer {name}": (
            *("backbone", _recurrent(shape, **changes)),
            r"has a LSTM with weights of shapes \{'weight_ih_l0': .*, which must be",
        )
        for name, shape, changes in (
            ("with short weights", (1, 1), {}),
            ("that is wider than its weights", (12, 5), {"hidden_size": 30_000}),
            ("of the sizes of another", (9, 5), {"mode": "GRU"}),
            (
                "of two dtypes",
                (12, 5),
                {"dtypes": ("float32", "float16", "float32", "float32")},
            ),
        )
    },
    "attention with no heads": (
        *(
            "attention",
            lambda f: layer(f, "Attention")["attributes"].update(num_heads=0),
        ),
        "num_heads must be greater than 0|embed_dim and num_heads must be greater",
    ),
    "attention with a short bias": (
        *(
            "attention",
            set_array("net.module.backbone.1.self_attn.in_proj_bias", lambda a: a[:1]),
        ),
        r"MultiheadAttention with weights of shapes .*'in_proj_bias': \(1,\)",
    ),
    "a recurrent layer of other weights": (
        *("backbone", _recurrent((12, 5), _flat_weights_names=["bias_ih_l0"] * 4)),
        "has a LSTM of the weights",
    ),
    "a recurrent layer with more layers than weights": (
        *("backbone", _recurrent((12, 5), num_layers=10**12)),
        "has 1000000000000 layers of 4 weights",
    ),
    "a layer that is none": (
        *(
            "OrthoHash",
            lambda f: layer(f, "RowwiseLinear").update({"class": "os.system"}),
        ),
        r"'os\.system', which is none",
    ),
    "a function for a layer": (
        *(
            "OrthoHash",
            lambda f: layer(f, "RowwiseLinear").update(
                {"class": "torch.nn.functional.relu"}
            ),
        ),
        "where Module is wanted",
    ),
    "something of torch.nn that is no module": (
        *(
            "OrthoHash",
            lambda f: layer(f, "RowwiseLinear").update({"class": "torch.nn.init"}),
        ),
        r"'torch\.nn\.init', which is none",
    ),
    **{
        f"an attribute {name}": (
            *(
                "OrthoHash",
                lambda f, name=name: nodes(f)[0]["attributes"].update(
                    {name: {"named": "torch.nn.functional.relu"}}
                ),
            ),
            f"would replace '{name}' of HashHead",
        )
        for name in (
            *("forward", "project", "__class__", "__dict__", "__call__"),
            *("_parameters", "_modules", "_forward_hooks", "_compiled_call_impl"),
        )
    },
    "a module in itself": ("OrthoHash", _part_of_itself, "a part of itself"),
    "modules in 2**60 places": (
        *("backbone", _in_far_too_many_places),
        "in more than 65536 places",
    ),
    "a module that is nowhere": (
        *("backbone", lambda f: nodes(f).append(nodes(f)[-1])),
        "no part of another one",
    ),
    "a part that there is none of": (
        *("OrthoHash", lambda f: nodes(f)[0]["children"].update(hash=99)),
        r"names part 99 of \d+ of a module",
    ),
    "a tensor that there is none of": (
        *(
            "OrthoHash",
            lambda f: layer(f, "RowwiseLinear")["parameters"].update(weight=-1),
        ),
        r"names part -1 of \d+ of a module",
    ),
    "a module without its parts": (
        *("OrthoHash", lambda f: nodes(f)[0].pop("attributes")),
        "malformed: KeyError",
    ),
    "a tensor of another dtype": (
        *(
            "OrthoHash",
            lambda f: net(f)["generator"]["tensor"].update(dtype="float32"),
        ),
        r"a tensor of torch\.float32 made of torch\.uint8",
    ),
    "a state that no generator has": (
        *("OrthoHash", set_array("net.generator", lambda a: a[:-1])),
        "cannot be loaded",
    ),
    "a loss whose generator has another state": (
        *("NINH", set_array("criterion.generator.state", lambda a: a[:5])),
        "must be divisible by 8",
    ),
    "a head for other features": (
        *("OrthoHash", lambda f: fitted(f).update(n_features_in_=7)),
        "the net takes 6 features",
    ),
    "a head for more bits": (
        *("OrthoHash", lambda f: fitted(f).update(n_bits_=13)),
        "the net makes 12 bits, not 13",
    ),
    "a loss for other classes": (
        *("OrthoHash", set_array("codebook", lambda a: a[:2])),
        "codebook of the loss must be an array of shape",
    ),
    "a state of the optimizer for other weights": (
        *("OrthoHash", _optimizer_state_of_another_shape),
        "the optimizer's 'exp_avg' has the shape",
    ),
    "an optimizer that is none": (
        *("OrthoHash", _optimizer_named("torch.nn.Identity")),
        "cannot be loaded",
    ),
    "a function in place of an optimizer": (
        *("OrthoHash", _optimizer_named("torch.nn.functional.relu")),
        "a net has an optimizer that is none, <function relu",
    ),
    "a function of torch that is no layer": (
        *("OrthoHash", _optimizer_named("torch.nn.functional.boolean_dispatch")),
        "none of the classes that sklhash loads",
    ),
    "a net that is none": (
        *("OrthoHash", lambda f: net(f).update(module={"named": "torch.nn.ReLU"})),
        "module of a net must be a Module, got type",
    ),
    "a setting that there is none of": (
        *("OrthoHash", lambda f: net(f)["settings"]["dict"].update(callbacks=5)),
        r"a net has no settings \['callbacks'\]",
    ),
    "counts of epochs that are none": (
        *("OrthoHash", lambda f: net(f)["counts"]["dict"].update(stops="no")),
        "stops of it must be a bool",
    ),
    "a history that is none": (
        *("OrthoHash", lambda f: net(f).update(history=["ab"])),
        "cannot be loaded",
    ),
}
