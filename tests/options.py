"""Options of every sampler, balancer and training method, other than the defaults."""

#: Options under which each strategy and method differs from its defaults.
SAMPLING = {
    "proportional": {},
    "uniform": {},
    "round-robin": {},
    "temperature": {"temperature": 3.5},
    "capped": {"limit": 9, "temperature": 2.0},
    "annealed": {"start": 0.5, "end": 0.1, "stages": 7},
    "fixed": {"shares": {"a": 1, "b": 2.5}},
    "schedule": {"schedule": [[0, {"a": 1, "b": 0}], [0.5, {"a": 1, "b": 1}]]},
    "bandit": {
        "interval": 9,
        "policy": "thompson",
        "reward": "score",
        "mixing": 0.5,
        "step_size": 0.1,
        "forgetting": 0.3,
    },
    "difficulty": {"interval": 9, "references": {"a": 0.5}, "mixing": 0.1},
}
BALANCING = {
    "fixed": {},
    "equal": {},
    "random": {},
    "geometric": {},
    "uncertainty": {"learning_rate": 0.5},
    "dwa": {"temperature": 4.0, "interval": 3},
    "famo": {"learning_rate": 0.5, "weight_decay": 0.1},
    "gradient": {"aggregator": "cagrad", "c": 0.4},
}
#: Options under which each training method changes a training also without dropout.
METHODS = {
    "mixup": {"alpha": 0.5},
    "r-drop": {"alpha": 2.0, "noise": 1.0},
    "fgm": {"alpha": 0.7, "epsilon": 0.5, "norm": "token"},
    "pgd": {"alpha": 0.4, "epsilon": 0.6, "steps": 2, "step_size": 0.5},
    "freelb": {"alpha": 0.9, "epsilon": 0.4, "steps": 2, "step_size": 0.2},
    "task-adversary": {"alpha": 0.5, "tasks": ["mood"], "schedule": "constant"},
    "smart": {"alpha": 2.0, "epsilon": 0.7, "steps": 2, "step_size": 0.4},
}
