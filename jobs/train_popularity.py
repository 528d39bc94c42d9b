"""Judge models of popularity on honest splits, fit the best and predict every track that has features.

SPARK_CONF_DIR=conf spark-submit jobs/train_popularity.py --config conf/local.toml [--as-of DATE] [--set key=value ...]
"""

from musicrec.entry import job_command

main = job_command("train_popularity")

if __name__ == "__main__":
    main()
