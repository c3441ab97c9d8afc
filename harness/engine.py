"""stub"""
import sys, http.client, socket
def main():
    s = socket.socket(socket.AF_UNIX)
    try:
        s.settimeout(5); s.connect("/var/run/docker.sock")
    except OSError:
        return 69
    return 0
if __name__ == "__main__":
    sys.exit(main())
