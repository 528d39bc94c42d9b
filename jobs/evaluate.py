"""Judge every model on the last days before as_of.

SPARK_CONF_DIR=conf spark-submit jobs/evaluate.py --config conf/local.toml [--as-of DATE] [--set key=value ...]
"""

from musicrec.entry import job_command

main = job_command("evaluate")

if __name__ == "__main__":
    main()
