keys=~@USER@/.ssh/authorized_keys
FOUND=`grep -c "@VERSION@" $keys`
if [ $FOUND -eq 0 ]
then
  echo "adding the key @VERSION@ for @USER@"
  echo "@KEY@" >> $keys
else
  echo "the key @VERSION@ is there already"
fi
