"""Write each listener's lists to gold.recommendations.

SPARK_CONF_DIR=conf spark-submit jobs/recommend.py --config conf/local.toml [--as-of DATE] [--set key=value ...]
"""

from musicrec.entry import job_command

main = job_command("recommend")

if __name__ == "__main__":
    main()
