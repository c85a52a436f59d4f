package disk

// OpenKernel opens the kernel's file system for the conformance test, without a lock.
func OpenKernel(root string) (fsys FS, closeFS func() error, err error) {
	k, err := openKernel(root)
	if err != nil {
		return nil, nil, err
	}
	return k, k.close, nil
}

// MaxVecs is the number of buffers in one system call.
const MaxVecs = maxVecs

// LockName is the name of the lock file.
const LockName = lockName
