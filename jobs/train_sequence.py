"""Fit the LSTM on all listens before as_of, through petastorm.

SPARK_CONF_DIR=conf spark-submit jobs/train_sequence.py --config conf/local.toml [--as-of DATE] [--set key=value ...]
"""

from musicrec.entry import job_command

main = job_command("train_sequence")

if __name__ == "__main__":
    main()
