"""functional_call and stack_module_state."""

import pytest

import tabgrad as tg
from tabgrad.func import functional_call, grad, stack_module_state, vmap
from tests.transforms.support import array, close


def layers():
    tg.manual_seed(0)
    with tg.device("cpu"):
        return tg.nn.Sequential(tg.nn.Linear(3, 4), tg.nn.Tanh(), tg.nn.Linear(4, 2))


def values(n=3):
    return tg.tensor([[0.1 * i * j - 0.2 for i in range(3)] for j in range(n)], device="cpu")


def test_replaces_and_restores():
    model = layers()
    x = values()
    before = model(x)
    doubled = {name: p.detach() * 2.0 for name, p in model.named_parameters()}
    found = functional_call(model, doubled, (x,))
    close(model(x), before)
    with tg.no_grad():
        for p in model.parameters():
            p.mul_(2.0)
    close(model(x), found)
    partly = functional_call(model, {"0.bias": tg.zeros(4, device="cpu")}, x)
    assert abs(array(partly) - array(found)).max() > 1e-3


def test_gradients_through_it_agree_with_backward():
    model = layers()
    x = values()
    params = {name: p.detach() for name, p in model.named_parameters()}
    found = grad(lambda p: functional_call(model, p, (x,)).square().sum())(params)
    model(x).square().sum().backward()
    for name, p in model.named_parameters():
        close(found[name], p.grad, 1e-5)


def test_restored_after_an_error():
    model = layers()
    weight = model[0].weight
    with pytest.raises(Exception, match=r"matmul|linear|mat1|inner"):
        functional_call(model, {"0.weight": tg.zeros(4, 7, device="cpu")}, (values(),))
    assert model[0].weight is weight


def test_tied_weights():
    model = layers()
    tied = tg.nn.Sequential(model[0], model[0])
    tied[1] = tg.nn.Linear(3, 4, device="cpu")
    tied[1].weight = tied[0].weight
    new = tg.zeros(4, 3, device="cpu")
    seen = []

    class Look(tg.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = tied

        def forward(self):
            seen.append((self.inner[0].weight is new, self.inner[1].weight is new))

    functional_call(Look(), {"inner.0.weight": new})
    functional_call(Look(), {"inner.0.weight": new}, tie_weights=False)
    assert seen == [(True, True), (True, False)]
    with pytest.raises(ValueError, match="share one tensor"):
        functional_call(Look(), {"inner.0.weight": new, "inner.1.weight": new * 1.0})


def test_errors():
    model = layers()
    with pytest.raises(RuntimeError, match=r"has no 9\.weight"):
        functional_call(model, {"9.weight": tg.zeros(1, device="cpu")}, (values(),), strict=True)
    with pytest.raises(RuntimeError, match="strict=True"):
        functional_call(model, {}, (values(),), strict=True)
    with pytest.raises(ValueError, match="more than one"):
        functional_call(model, ({"0.bias": None}, {"0.bias": None}), (values(),))
    with pytest.raises(ValueError, match="dict"):
        functional_call(model, 3, (values(),))
    with pytest.raises(RuntimeError, match="at least one"):
        stack_module_state([])


def test_ensembles_and_gradients_per_example():
    models = [layers() for _ in range(3)]
    with tg.no_grad():
        for i, m in enumerate(models):
            m[0].weight.add_(0.1 * i)
    params, buffers = stack_module_state(models)
    assert params["0.weight"].requires_grad
    assert params["0.weight"].is_leaf
    x = values()
    run = lambda p, b, x: functional_call(models[0], (p, b), (x,))  # noqa: E731
    together = vmap(run, (0, 0, None))(params, buffers, x)
    for i, m in enumerate(models):
        close(together[i], m(x), 1e-6)
    one = {name: p[0].detach() for name, p in params.items()}
    loss = lambda p, x: run(p, {}, x).square().sum()  # noqa: E731
    rows = vmap(grad(loss), (None, 0))(one, x)
    for i in range(3):
        close(rows["0.weight"][i], grad(loss)(one, x[i])["0.weight"], 1e-5)


def test_batch_norm_without_running_statistics_can_be_mapped():
    tg.manual_seed(0)
    net = tg.nn.Sequential(tg.nn.Linear(3, 4), tg.nn.Sequential(tg.nn.BatchNorm1d(4), tg.nn.Tanh()))
    assert tg.func.replace_all_batch_norm_modules_(net) is net
    assert dict(net.named_buffers()) == {}
    x = tg.randn(5, 6, 3)
    close(vmap(net)(x), tg.stack([net(rows) for rows in x]), 1e-5)
    net.eval()
    close(vmap(net)(x), tg.stack([net(rows) for rows in x]), 1e-5)
    alone = tg.nn.BatchNorm2d(2)
    assert tg.func.replace_all_batch_norm_modules_(alone).track_running_stats is False
