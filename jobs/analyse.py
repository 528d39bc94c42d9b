"""Find the network of artists, the trends by year and genre and what goes with popularity.

SPARK_CONF_DIR=conf spark-submit jobs/analyse.py --config conf/local.toml [--as-of DATE] [--set key=value ...]
"""

from musicrec.entry import job_command

main = job_command("analyse")

if __name__ == "__main__":
    main()
