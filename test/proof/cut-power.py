"""The disk under each given directory ends, as if the power went: nothing that is not on it by now will ever be (EXT4_IOC_SHUTDOWN, without a flush of the log)."""
import fcntl, os, struct, sys

for directory in sys.argv[1:]:
    fcntl.ioctl(os.open(directory, os.O_RDONLY), 0x8004587D, struct.pack("I", 2))
