"""Find what sounds like each track, and publish the content model.

SPARK_CONF_DIR=conf spark-submit jobs/train_content.py --config conf/local.toml [--as-of DATE] [--set key=value ...]
"""

from musicrec.entry import job_command

main = job_command("train_content")

if __name__ == "__main__":
    main()
