"""Take ListenBrainz dumps into bronze.listens.

SPARK_CONF_DIR=conf spark-submit jobs/ingest_listens.py --config conf/local.toml [--as-of DATE] [--set key=value ...]
"""

from musicrec.entry import job_command

main = job_command("ingest_listens")

if __name__ == "__main__":
    main()
