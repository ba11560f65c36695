# fish completion for backy-fuse: options and directories.

complete -c backy-fuse -f -a '(__fish_complete_directories)'
complete -c backy-fuse -s d -l basedir -x -a '(__fish_complete_directories)' -d 'Backup directory'
complete -c backy-fuse -s o -l mountopts -x -a 'allow_root allow_other default_permissions ro' -d 'Mount options'
complete -c backy-fuse -s c -l cache -x -d 'Size of each cache in MiB'
complete -c backy-fuse -s t -l threads -x -d 'Decoding workers'
complete -c backy-fuse -l spill -x -a '(__fish_complete_directories)' -d 'Where changed chunks go when their cache is full'
complete -c backy-fuse -l no-verify -d 'Do not check chunk content against its id'
complete -c backy-fuse -l lock-timeout -x -d 'Give up on the purge lock after this time'
complete -c backy-fuse -s h -l help -d 'Show this help and exit'
complete -c backy-fuse -s V -l version -d 'Show the version and exit'
