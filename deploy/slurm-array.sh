#!/bin/bash
# A batch in parts on Slurm. Give the pictures, the model and the results as absolute paths that every node sees:
#   export PICTURES=/data/pictures RESULTS=/data/results MODEL=file:/data/model.pth SHARDS=8
#   job=$(sbatch --parsable --array=1-$SHARDS deploy/slurm-array.sh)
#   sbatch --dependency=afterany:$job --wrap "python3 -m gradcam_core batch --merge --model $MODEL --out $RESULTS"
# The merge starts when all parts have ended, and names those that are missing.
#SBATCH --job-name=cam-batch
#SBATCH --array=1-8
#SBATCH --cpus-per-task=2
#SBATCH --mem=3G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=cam-batch-%A_%a.log
set -u

"${PYTHON:-python3}" -m gradcam_core batch "${PICTURES:?}" --model "${MODEL:?}" --out "${RESULTS:?}" \
  --shard "${SLURM_ARRAY_TASK_ID:?}/${SHARDS:-8}" --workers "${SLURM_CPUS_PER_TASK:-2}" --quiet
code=$?

# 0: every picture has a row. 42: a retry would end in the same way. The rest, such as too little memory, is tried again.
if [ "$code" -ne 0 ] && [ "$code" -ne 42 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 2 ]; then
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit "$code"
