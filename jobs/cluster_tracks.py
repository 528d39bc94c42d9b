"""Group the catalogue's tracks by how they sound.

SPARK_CONF_DIR=conf spark-submit jobs/cluster_tracks.py --config conf/local.toml [--as-of DATE] [--set key=value ...]
"""

from musicrec.entry import job_command

main = job_command("cluster_tracks")

if __name__ == "__main__":
    main()
