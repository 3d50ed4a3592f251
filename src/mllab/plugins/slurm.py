"""Built-in plugin: records the SLURM job that a run is part of.

Source: the output environment variables of sbatch and srun (https://slurm.schedmd.com/sbatch.html).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Optional

from mllab.plugins.hookspecs import hookimpl

if TYPE_CHECKING:
    from mllab.tracking.run import Run

_FACTS = {
    "SLURM_JOB_ID": "job_id",
    "SLURM_JOB_NAME": "job_name",
    "SLURM_ARRAY_JOB_ID": "array_job_id",
    "SLURM_ARRAY_TASK_ID": "array_task_id",
    "SLURM_CLUSTER_NAME": "cluster",
    "SLURM_JOB_PARTITION": "partition",
    "SLURM_JOB_NODELIST": "nodes",
    "SLURM_NTASKS": "tasks",
    "SLURM_PROCID": "rank",
    "SLURM_RESTART_COUNT": "restarts",
}


@hookimpl
def mllab_capture(run: Run) -> Optional[dict[str, Any]]:  # noqa: ARG001  # the hook's signature
    """Return the job's facts as ``slurm``, or None outside a job."""
    if "SLURM_JOB_ID" not in os.environ:
        return None
    return {"slurm": {name: os.environ[variable] for variable, name in _FACTS.items() if variable in os.environ}}
