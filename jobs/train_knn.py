"""Find each item's nearest neighbours in all listens before as_of.

SPARK_CONF_DIR=conf spark-submit jobs/train_knn.py --config conf/local.toml [--as-of DATE] [--set key=value ...]
"""

from musicrec.entry import job_command

main = job_command("train_knn")

if __name__ == "__main__":
    main()
