keys=~@USER@/.ssh/authorized_keys
echo "removing the key @VERSION@ of @USER@, a copy has the suffix .bak"
sed -i'.bak' "/@VERSION@/d" $keys
