"""Take in what listeners love, hate and block: bronze.feedback and bronze.quarantine.

SPARK_CONF_DIR=conf spark-submit jobs/ingest_feedback.py --config conf/local.toml [--set key=value ...]
"""

from musicrec.entry import job_command

main = job_command("ingest_feedback")

if __name__ == "__main__":
    main()
