"""Fit the neural models that neural.models names: attention, dot_bias, ncf.

SPARK_CONF_DIR=conf spark-submit jobs/train_neural.py --config conf/local.toml [--as-of DATE] \\
  --set 'neural.models=["attention", "dot_bias", "ncf"]'
"""

from musicrec.entry import job_command

main = job_command("train_neural")

if __name__ == "__main__":
    main()
