"""Give the tracks that no one has played ALS factors, from what they sound like and whose they are.

SPARK_CONF_DIR=conf spark-submit jobs/train_cold_start.py --config conf/local.toml [--as-of DATE] [--set key=value ...]
"""

from musicrec.entry import job_command

main = job_command("train_cold_start")

if __name__ == "__main__":
    main()
