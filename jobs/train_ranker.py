"""Learn an order of all models' candidates from what was played in past windows.

SPARK_CONF_DIR=conf spark-submit jobs/train_ranker.py --config conf/local.toml [--as-of DATE] [--set key=value ...]
"""

from musicrec.entry import job_command

main = job_command("train_ranker")

if __name__ == "__main__":
    main()
