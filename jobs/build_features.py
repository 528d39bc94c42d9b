"""Make the features of the tracks: checked, imputed, engineered and scaled.

SPARK_CONF_DIR=conf spark-submit jobs/build_features.py --config conf/local.toml [--as-of DATE] [--set key=value ...]
"""

from musicrec.entry import job_command

main = job_command("build_features")

if __name__ == "__main__":
    main()
