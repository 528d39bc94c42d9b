"""Build the silver tables from bronze.

SPARK_CONF_DIR=conf spark-submit jobs/build_silver.py --config conf/local.toml [--as-of DATE] [--set key=value ...]
"""

from musicrec.entry import job_command

main = job_command("build_silver")

if __name__ == "__main__":
    main()
