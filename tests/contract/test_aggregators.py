"""Every aggregator of torchjd trains a model, and gives what torchjd itself gives for the same gradients."""

import pytest
import torch

aggregation = pytest.importorskip("torchjd.aggregation", reason="needs hf-mtl[gradients]")

from hf_mtl.balancers import Aggregation, GradientBalancer, Step, aggregator_names  # noqa: E402
from hf_mtl.balancers._seeds import step_seed  # noqa: E402
from tests.balancing import REQUIRED, facts, trained  # noqa: E402
from tests.trainers import TASKS  # noqa: E402

#: Those whose solver may be missing where only a part of the extra is installed.
SOLVERS = {"cagrad": "clarabel", "nashmtl": "ecos"}
#: Of two tasks (krum, trimmedmean: three) with the gradient g, the multiple of g that the method's definition gives;
#: None: a multiple that depends on the norm of g or on a solver's tolerance.
MULTIPLES = {
    "alignedmtl": None, "cagrad": 1.5, "config": 2, "constant": 0.7, "crmogm": 1, "dualproj": 1, "excessmtl": 1,
    "fairgrad": None, "graddrop": 2, "gradvac": 2, "imtlg": 1, "krum": 1, "mean": 1, "mgda": 1, "modo": 1,
    "nashmtl": None, "pcd": 1, "pcgrad": 2, "random": 1, "sdmgrad": 1, "sum": 2, "trimmedmean": 1, "upgrad": 1,
}  # fmt: skip
NAMES = [task.name for task in TASKS]

pytestmark = pytest.mark.filterwarnings("ignore:You are solving a parameterized problem that is not DPP:UserWarning")


@pytest.fixture(params=sorted(MULTIPLES))
def name(request):
    if request.param in SOLVERS:
        pytest.importorskip("cvxpy", reason="needs hf-mtl[gradients]")
        pytest.importorskip(SOLVERS[request.param], reason="needs hf-mtl[gradients]")
    return request.param


def started(name, tasks=NAMES, **options):
    balancer = GradientBalancer(name, **{**REQUIRED.get(name, {}), **options})
    balancer.begin(facts(*tasks))
    return Aggregation(balancer.recipe, tasks)


def step_of(names, number=0):
    return Step(number, 0, {name: 1 / len(names) for name in names}, seed=3)


def aggregate(aggregation, jacobian, names=NAMES, number=0):
    subsets = [jacobian] * aggregation.independent_subsets if aggregation.independent_subsets > 1 else []
    return aggregation.aggregate(step_of(names, number), jacobian, subsets)[0]


def test_all_that_torchjd_has_are_there():
    bases = {"Aggregator", "WeightedAggregator", "GramianWeightedAggregator", "Weighting"}
    of_weightings = {n.removesuffix("Weighting") for n in aggregation.__all__ if n.endswith("Weighting")}
    theirs = (set(aggregation.__all__) | of_weightings) - bases - {""}
    theirs = {name.lower() for name in theirs if not name.endswith("Weighting")}
    assert set(aggregator_names()) == theirs == set(MULTIPLES)


def test_it_trains_a_step(name, tmp_path):
    options = {"aggregator": name, **REQUIRED.get(name, {})}
    kwargs = {"balancing": "gradient", "balancing_options": options, "gradient_accumulation_steps": 3}
    trainer, keeper = trained(tmp_path, max_steps=1, per_device_train_batch_size=8, **kwargs)
    assert all(bool(gradient.isfinite().all()) for gradient in keeper.found[0].values())
    assert float(sum(g.norm() for n, g in keeper.found[0].items() if n.startswith("encoder."))) > 0
    assert {name.split(".")[1] for name in keeper.found[0] if name.startswith("heads.")} == set(NAMES)
    log = trainer.state.log_history[0]
    assert ("weight/mood" in log) == (name not in ("config", "graddrop", "trimmedmean"))


def test_equal_tasks_get_the_gradient_of_one_or_a_multiple(name):
    count = 3 if name in ("krum", "trimmedmean") else 2
    tasks = NAMES[:count]
    options = {"weights": dict(zip(tasks, (0.3, 0.4), strict=True))} if name == "constant" else {}
    gradient = torch.tensor([0.5, -2.0, 1.0, 0.0, 3.0], dtype=torch.float64)
    found = aggregate(started(name, tasks, **options), gradient.expand(count, -1).clone(), tasks)
    multiple = float(found @ gradient / (gradient @ gradient))
    torch.testing.assert_close(found, multiple * gradient, rtol=1e-6, atol=1e-9)
    assert multiple > 0
    if MULTIPLES[name] is not None:
        assert multiple == pytest.approx(MULTIPLES[name], rel=1e-3)


def test_it_is_what_torchjd_gives(name):
    torch.manual_seed(0)
    jacobian = torch.randn(4, 30, dtype=torch.float64)
    found = aggregate(started(name), jacobian)
    kinds = {kind.lower(): kind for kind in aggregation.__all__}
    options = dict(REQUIRED.get(name, {}))
    if name == "constant":
        options = {"weights": torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)}
    torch.manual_seed(step_seed(3, 0))
    if name == "crmogm":
        theirs = aggregation.GramianWeightedAggregator(aggregation.CRMOGMWeighting(aggregation.UPGradWeighting()))
        expected = theirs(jacobian)
    elif name in ("modo", "sdmgrad"):
        expected = getattr(aggregation, kinds[f"{name}weighting"])()(jacobian @ jacobian.T) @ jacobian
    else:
        kind = getattr(aggregation, kinds[name])
        expected = kind(**({"n_tasks": 4} if name == "nashmtl" else options))(jacobian)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_going_on_from_its_state_equals_not_stopping(name):
    torch.manual_seed(1)
    jacobians = torch.randn(5, 4, 12, dtype=torch.float64)
    unbroken, first, second = started(name), started(name), started(name)
    expected = [aggregate(unbroken, jacobian, number=i) for i, jacobian in enumerate(jacobians)]
    for number in range(3):
        aggregate(first, jacobians[number], number=number)
    second.load_tensors(first.tensors())
    for number in range(3, 5):
        assert torch.equal(aggregate(second, jacobians[number], number=number), expected[number])


def test_a_step_that_lacks_tasks_leaves_its_state_alone(name):
    torch.manual_seed(2)
    jacobian = torch.randn(4, 12, dtype=torch.float64)
    balancer = started(name)
    aggregate(balancer, jacobian)
    before = dict(balancer.tensors())
    found = aggregate(balancer, jacobian[:3], NAMES[:3], number=1)
    assert bool(found.isfinite().all())
    assert torch.equal(aggregate(balancer, jacobian[1:2], NAMES[1:2], number=2), jacobian[1])
    after = balancer.tensors()
    assert before.keys() == after.keys()
    assert all(torch.equal(torch.as_tensor(before[key]), torch.as_tensor(after[key])) for key in before)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"aggregator": "upgrd"}, "Did you mean 'upgrad'"),
        ({"aggregator": "cagrad"}, "needs the option 'c'"),
        ({"aggregator": "krum", "n_byzantin": 1}, "Did you mean 'n_byzantine'"),
        ({"aggregator": "aligned_mtl", "scale_mode": "mean"}, "Expected 'min', 'median', or 'rmse'"),
        ({"aggregator": "pcd", "tau": 3}, r"must be in \[0, 1\]"),
        ({"aggregator": "upgrad", "pref_vector": [1, 2]}, "must be a mapping from tasks"),
        ({"aggregator": "crmogm", "weighting": "graddrop"}, "has no weights to smooth"),
    ],
)
def test_wrong_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        GradientBalancer(**options)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("upgrad", {"pref_vector": {"intent": 1, "slot": 1}}, "Did you mean 'slots'"),
        ("upgrad", {"pref_vector": {"intent": 1}}, "no number for 'slots'"),
        ("krum", {"n_byzantine": 2}, "at least 5 tasks, found 4"),
        ("pcd", {"primary": "moods"}, "Did you mean 'mood'"),
    ],
)
def test_options_that_do_not_fit_the_tasks_are_refused(name, options, words):
    with pytest.raises(ValueError, match=words):
        started(name, **options)


def test_pcd_puts_the_primary_task_first():
    jacobian = torch.tensor([[1.0, 0.0], [-1.0, 1.0]], dtype=torch.float64)
    names = ["mood", "intent"]
    balancer = started("pcd", names, primary="intent", tau=0.0)
    expected = aggregation.PCD(tau=0.0)(jacobian.flip(0))
    torch.testing.assert_close(aggregate(balancer, jacobian, names), expected)
