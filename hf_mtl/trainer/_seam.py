"""The seam to Transformers' trainer: what of its private side this package overrides.

Private methods change without notice. `tests/unit/trainer/test_seam.py` compares this list with the classes and each
signature with the installed Transformers'; the upper bound on transformers in setup.cfg is the newest version for
which it holds. Public methods (`train`, `compute_loss`, `evaluate`, ...) are overridden freely and checked likewise.
"""

from __future__ import annotations

__all__ = ["LAYERS", "OVERRIDDEN"]

#: The classes between Transformers' trainer and `MultiTaskTrainer`, each the only parent of the next, and what follows
#: from the order. What needs no method of Transformers' is no layer but an object or a function that a layer calls.
LAYERS = {
    "CallbackTrainer": "takes callbacks, and nothing else for one",
    "EvaluatingTrainer": "scores, answers, tunes and searches by scores; the rest reads what it found",
    "ResumingTrainer": "loads whole checkpoints of this very training alone, before anything is trained or saved",
    "SavingTrainer": "writes aside what Transformers saves, with card and arguments, and pushes",
    "MultiTaskTrainer": "adds to a checkpoint what its training keeps, before it is put in place",
}

#: Private methods of ``transformers.Trainer`` that are overridden, and why no public way does.
OVERRIDDEN = {
    "_build_accelerator_args": "heads without rows: DistributedDataParallel has to look for unused parameters",
    "_finish_current_push": "uploads in the background that failed are reported",
    "_get_output_dir": "checkpoints are written aside",
    "_hp_search_setup": "sampler and balancer are made of a trial's arguments",
    "_inner_training_loop": "balancer and log start from scratch with each trial and each retry with smaller batches",
    "_issue_warnings_after_load": "a checkpoint that lacks weights is refused, where Transformers warns",
    "_load_callback_state": "what an adaptive sampler has learnt is taken out of the saved callbacks' states",
    "_load_best_model": "of a model with adapters these are loaded, on the encoder that is there",
    "_load_from_checkpoint": "of a model with adapters these are loaded, on the encoder that is there",
    "_load_optimizer_and_scheduler": "the optimizer's state is matched by names; the balancer's, averages, too",
    "_push_from_checkpoint": "pushes wait for the final name, and are one commit of a clean copy",
    "_run_epoch": "a checkpoint of the last step trains no further step",
    "_save": "the model is written aside; training arguments are saved without this machine's names",
    "_save_checkpoint": "a checkpoint is whole or not there; what an adaptive sampler has learnt is saved with it",
    "_save_optimizer_and_scheduler": "names of parameters, the balancer's state and what was trained on are saved",
}
