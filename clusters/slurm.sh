#!/bin/bash
# A study on Slurm: sbatch clusters/slurm.sh cohort data.root=DIR name=ours --out DIR
# One Ray node a machine, all from one allocation; the study ends with it, and the same command goes on.
#SBATCH --job-name=sldd
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --exclusive
#SBATCH --time=24:00:00
set -euo pipefail

# The environment (or SLDD_IMAGE, an Apptainer image) and ~/.ray/auth_token (ray get-auth-token --generate) are in a home
# folder that all machines share; SLDD_BIND names further folders that the image is to see.
inside=()
if [ -n "${SLDD_IMAGE:-}" ]; then
    inside=(apptainer exec --nv --bind "${SLDD_BIND:-$PWD}" "$SLDD_IMAGE")
else
    source "${SLDD_VENV:-$HOME/sldd-venv}/bin/activate"
fi
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
# Since Slurm 22.05 srun takes these from its own setting only, and would give Ray one CPU.
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')

# The first machine runs the study, the others its trials; Ray on all of them ends with it.
srun "${inside[@]}" ray symmetric-run --address "$address:6379" --min-nodes "$SLURM_NNODES" \
    --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" -- \
    python -m study.run "$@"
